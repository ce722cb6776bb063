// The evidence of an explained pixel: that the prototypes named are the ones
// that gave the answer.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/pipeline/explain_fixture.h"

namespace ovdiff::engine {
namespace {

using Row = std::pair<size_t, int64_t>;  // Class of the call, row of its side.

class ExplainEvidenceTest : public ExplainTest {
 protected:
  static bool Uses(const SegmentOptions& options, PrototypeLevel level) {
    return level == PrototypeLevel::kClass      ? options.use_class_level
           : level == PrototypeLevel::kInstance ? options.use_instance_level
                                                : options.use_part_level;
  }

  static const PrototypeVectors& SideOf(size_t set, size_t space,
                                        bool is_background) {
    const FeatureSpacePrototypes& both = Sets()[set].spaces[space];
    return is_background ? both.background : both.foreground;
  }

  static double Length(const float* vector, int dim) {
    double sum = 0;
    for (int i = 0; i < dim; ++i) {
      sum += static_cast<double>(vector[i]) * vector[i];
    }
    return std::sqrt(sum);
  }

  // The similarity of the pixel to each usable row of the sets `from`, by
  // segmenting with classes of one vector each. Similarities below 0 are 0.
  static std::map<Row, double> BruteForce(const Image& image,
                                          SegmentOptions options, int x, int y,
                                          size_t space,
                                          const std::vector<size_t>& from,
                                          bool is_background) {
    std::vector<SegmentClass> classes;
    std::vector<Row> rows;
    for (const size_t set : from) {
      const PrototypeVectors& side = SideOf(set, space, is_background);
      const int dim = Sets()[set].spaces[space].dim;
      for (size_t row = 0; row < side.count(); ++row) {
        const float* vector = side.values.data() + row * dim;
        if (Uses(options, side.levels[row]) && Length(vector, dim) > 0) {
          FeatureSpacePrototypes one;
          one.space = Sets()[set].spaces[space].space;
          one.dim = dim;
          one.foreground = {
              {vector, vector + dim}, {PrototypeLevel::kClass}, {-1}};
          rows.emplace_back(set, static_cast<int64_t>(row));
          classes.push_back({static_cast<uint16_t>(rows.size()), "one",
                             ClassKind::kThing, Load({{one}})});
        }
      }
    }
    options.spaces = {Sets()[0].spaces[space].space};
    options.use_class_level = true;
    options.use_background = false;
    options.background_threshold = 0;
    options.pamr.enabled = false;
    const Explanation answer =
        Explain(image, classes, options, {.x = x, .y = y});
    std::map<Row, double> similarity;
    for (size_t i = 0; i < rows.size(); ++i) {
      similarity[rows[i]] = Find(answer, classes[i].label)->score;
    }
    return similarity;
  }

  static void ExpectBest(const SpaceEvidence& evidence,
                         const std::map<Row, double>& similarity) {
    std::vector<std::pair<double, Row>> sorted;
    for (const auto& [row, value] : similarity) {
      sorted.emplace_back(-value, row);
    }
    std::sort(sorted.begin(), sorted.end());
    ASSERT_GE(sorted.size(), 2u);
    ASSERT_GT(-sorted[0].first, 0) << "the test's own similarities are cut";
    EXPECT_NEAR(evidence.winner.cosine, -sorted[0].first, 2e-6);
    const Row winner{evidence.winner.class_index, evidence.winner.index};
    ASSERT_EQ(similarity.count(winner), 1u);
    EXPECT_NEAR(similarity.at(winner), -sorted[0].first, 2e-6);
    ASSERT_TRUE(evidence.runner_up.has_value());
    const Row second{evidence.runner_up->class_index,
                     evidence.runner_up->index};
    EXPECT_NE(winner, second);
    EXPECT_GE(evidence.winner.cosine, evidence.runner_up->cosine);
    ASSERT_EQ(similarity.count(second), 1u);
    EXPECT_NEAR(evidence.runner_up->cosine, -sorted[1].first, 2e-6);
    EXPECT_NEAR(similarity.at(second), -sorted[1].first, 2e-6);
  }

  // Of the things, those that the stuff filter leaves; far from its threshold.
  static std::map<Row, double> WithoutLikeSky(
      const std::map<Row, double>& similarity, size_t space, double threshold) {
    std::map<Row, double> left;
    for (const auto& [row, value] : similarity) {
      if (LikenessToSky(row, space) <= threshold) {
        left[row] = value;
      }
    }
    return left;
  }
  static double LikenessToSky(const Row& row, size_t space) {
    const int dim = Sets()[row.first].spaces[space].dim;
    const float* vector =
        SideOf(row.first, space, true).values.data() + row.second * dim;
    const PrototypeVectors& sky = SideOf(2, space, false);
    double largest = -1;
    for (size_t i = 0; i < sky.count(); ++i) {
      const float* other = sky.values.data() + i * dim;
      const double lengths = Length(vector, dim) * Length(other, dim);
      double product = 0;
      for (int c = 0; c < dim; ++c) {
        product += static_cast<double>(vector[c]) * other[c];
      }
      if (lengths > 0) {
        largest = std::max(largest, product / lengths);
      }
    }
    return largest;
  }
};

// Without PAMR the fused score is the weighted mean of the spaces' scores, and
// each of these what the space alone would say.
TEST_F(ExplainEvidenceTest, SpacesScoreWhatTheyAddToTheFusion) {
  const Image image = MakePicture(70, 41);
  const ExplainTarget target{.x = 33, .y = 29};
  SegmentOptions options = Plain();
  options.space_weights = {{"vision", 2.5}, {"keys", 0.5}};
  const Explanation fused = Explain(image, Named(), options, target);
  for (const ExplainedClass& one : fused.classes) {
    // Background has no vectors in some spaces, which then abstain.
    ASSERT_EQ(one.spaces.size(), one.label == 0 ? one.spaces.size() : 3u);
    ASSERT_FALSE(one.spaces.empty());
    double sum = 0;
    double weights = 0;
    for (const SpaceEvidence& evidence : one.spaces) {
      const auto weight = options.space_weights.find(evidence.space);
      const double counts =
          weight == options.space_weights.end() ? 1 : weight->second;
      sum += evidence.score * counts;
      weights += counts;
      EXPECT_LE(evidence.winner.cosine, evidence.score + 2e-6);
      SegmentOptions alone = Plain();
      alone.spaces = {evidence.space};
      const Explanation answer = Explain(image, Named(), alone, target);
      EXPECT_NEAR(Find(answer, one.label)->score, std::max(evidence.score, 0.0),
                  2e-6);
    }
    EXPECT_NEAR(one.score, std::max(sum / weights, 0.0), 2e-6);
  }
}

TEST_F(ExplainEvidenceTest, WinnersAreThoseOfBruteForce) {
  SegmentOptions one_window = Plain();
  one_window.windows.sizes = {30};
  one_window.windows.whole_picture = false;
  SegmentOptions no_instances = Plain();
  no_instances.use_instance_level = false;
  SegmentOptions parts = Plain();
  parts.use_class_level = false;
  parts.use_instance_level = false;
  for (const auto& [options, image, x, y] :
       {std::tuple{one_window, MakePicture(30, 30), 11, 19},
        std::tuple{Plain(), MakePicture(77, 52, 3), 40, 50},
        std::tuple{no_instances, MakePicture(40, 64, 5), 0, 63},
        std::tuple{parts, MakePicture(21, 30, 7), 20, 3}}) {
    const Explanation answer = Explain(image, Named(), options, {x, y, 0});
    for (size_t set = 0; set < Named().size(); ++set) {
      const ExplainedClass* one = Find(answer, Named()[set].label);
      ASSERT_EQ(one->spaces.size(), Sets()[set].spaces.size());
      for (size_t space = 0; space < one->spaces.size(); ++space) {
        EXPECT_EQ(one->spaces[space].space, Sets()[set].spaces[space].space);
        ExpectBest(one->spaces[space],
                   BruteForce(image, options, x, y, space, {set}, false));
      }
    }
  }
}

TEST_F(ExplainEvidenceTest, BackgroundIsExplainedByWhatTheStuffFilterLeaves) {
  const Image image = MakePicture(50, 38, 2);
  SegmentOptions all = Plain();
  all.stuff_filter.enabled = false;
  const Explanation unfiltered = Explain(image, Named(), all, {21, 17, 0});
  for (size_t space = 0; space < 3; ++space) {
    const auto similarity =
        BruteForce(image, all, 21, 17, space, {0, 1, 2}, true);
    ExpectBest(Find(unfiltered, 0)->spaces[space], similarity);

    // In the widest gap of the middle half: nothing is near the threshold.
    std::vector<double> likeness;
    for (const auto& [row, value] : similarity) {
      if (row.first != 2) {
        likeness.push_back(LikenessToSky(row, space));
      }
    }
    std::sort(likeness.begin(), likeness.end());
    size_t gap = likeness.size() / 4;
    for (size_t i = gap; i < likeness.size() * 3 / 4; ++i) {
      if (likeness[i + 1] - likeness[i] > likeness[gap + 1] - likeness[gap]) {
        gap = i;
      }
    }
    SegmentOptions filtered = Plain();
    filtered.spaces = {Sets()[0].spaces[space].space};
    filtered.stuff_filter.threshold = (likeness[gap] + likeness[gap + 1]) / 2;
    const Explanation answer = Explain(image, Named(), filtered, {21, 17, 0});
    auto things = similarity;
    std::erase_if(things, [](const auto& one) { return one.first.first == 2; });
    const auto left =
        WithoutLikeSky(things, space, filtered.stuff_filter.threshold);
    EXPECT_LT(left.size(), things.size());
    ASSERT_EQ(Find(answer, 0)->spaces.size(), 1u);
    ExpectBest(Find(answer, 0)->spaces[0], left);
  }
}

TEST_F(ExplainEvidenceTest, BackgroundWithoutPrototypesHasNoEvidence) {
  SegmentOptions flat = Plain();
  flat.use_background = false;
  flat.background_threshold = 0.25;
  const Image image = MakePicture(20, 20);
  const Explanation answer = Explain(image, Named(), flat, {3, 3, 0});
  EXPECT_TRUE(Find(answer, 0)->spaces.empty());
  EXPECT_FLOAT_EQ(static_cast<float>(Find(answer, 0)->score), 0.25f);
  // All of it looks like stuff.
  SegmentOptions strict = Plain();
  strict.stuff_filter.threshold = -1;
  const Explanation none = Explain(image, Named(), strict, {3, 3, 0});
  EXPECT_TRUE(Find(none, 0)->spaces.empty());
  EXPECT_EQ(Find(none, 0)->score, 0);
}

}  // namespace
}  // namespace ovdiff::engine
