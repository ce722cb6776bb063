// Explaining a pixel: that it is Segment()'s answer that is explained, what
// cannot be, and the masks of source pictures.
#include <algorithm>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/explain_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

TEST_F(ExplainTest, LabelAndScoresAreThoseOfSegment) {
  SegmentOptions pamr = Plain();
  pamr.pamr.enabled = true;
  pamr.pamr.iterations = 3;
  pamr.pamr.dilations = {1, 2};
  SegmentOptions flat = Plain();
  flat.use_background = false;
  flat.background_threshold = 0.4;
  SegmentOptions parts = Plain();
  parts.use_class_level = false;
  parts.use_instance_level = false;
  parts.stuff_filter.enabled = false;
  const Image image = MakePicture(6, 5);
  for (const SegmentOptions& options :
       {Plain(), pamr, flat, parts, engine().info().segment}) {
    const Segmentation whole = Segment(image, Named(), options);
    std::vector<double> sums(Named().size());
    std::vector<double> largest(Named().size(), 0);
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        const Explanation answer =
            Explain(image, Named(), options, {.x = x, .y = y});
        EXPECT_EQ(answer.x, x);
        EXPECT_EQ(answer.y, y);
        const int label = whole.labels.data[y * image.width + x];
        ASSERT_FALSE(answer.classes.empty());
        EXPECT_EQ(answer.classes.front().label, label) << x << "," << y;
        ASSERT_NE(Find(answer, 0), nullptr);
        for (size_t i = 0; i < Named().size(); ++i) {
          EXPECT_EQ(answer.kept[i], whole.classes[i].kept);
          const ExplainedClass* one = Find(answer, Named()[i].label);
          ASSERT_EQ(one != nullptr, whole.classes[i].kept);
          if (one != nullptr) {
            sums[i] += one->label == label ? one->score : 0;
            largest[i] = std::max(largest[i], one->score);
          }
        }
      }
    }
    for (size_t i = 0; i < Named().size(); ++i) {
      const ClassResult& result = whole.classes[i];
      EXPECT_EQ(largest[i], std::max(result.max_score, 0.0));
      if (result.pixel_count > 0) {
        EXPECT_DOUBLE_EQ(sums[i] / static_cast<double>(result.pixel_count),
                         result.mean_score);
      }
    }
  }
}

TEST_F(ExplainTest, LargePicturesAgreeToo) {
  const Image image = MakePicture(131, 83);
  const Segmentation whole = Segment(image, Named(), Plain());
  for (int y = 0; y < image.height; y += 27) {
    for (int x = 0; x < image.width; x += 26) {
      const Explanation answer =
          Explain(image, Named(), Plain(), {.x = x, .y = y});
      EXPECT_EQ(answer.classes.front().label,
                whole.labels.data[y * image.width + x]);
      for (size_t i = 0; i + 1 < answer.classes.size(); ++i) {
        EXPECT_GE(answer.classes[i].score, answer.classes[i + 1].score);
      }
    }
  }
}

TEST_F(ExplainTest, AClassIsExplainedWhereItScoresHighest) {
  const Image image = MakePicture(13, 8);
  const Segmentation whole = Segment(image, Named(), Plain());
  for (size_t i = 0; i < Named().size(); ++i) {
    const uint16_t label = Named()[i].label;
    const Explanation answer =
        Explain(image, Named(), Plain(), {.x = 0, .y = 0, .label = label});
    EXPECT_EQ(Find(answer, label)->score, whole.classes[i].max_score);
    EXPECT_EQ(answer.classes.front().label,
              whole.labels.data[answer.y * image.width + answer.x]);
    // The same evidence as of that point.
    const Explanation point =
        Explain(image, Named(), Plain(), {.x = answer.x, .y = answer.y});
    ASSERT_EQ(point.classes.size(), answer.classes.size());
    for (size_t c = 0; c < point.classes.size(); ++c) {
      EXPECT_EQ(point.classes[c].label, answer.classes[c].label);
      EXPECT_EQ(point.classes[c].score, answer.classes[c].score);
      ASSERT_EQ(point.classes[c].spaces.size(),
                answer.classes[c].spaces.size());
      for (size_t s = 0; s < point.classes[c].spaces.size(); ++s) {
        const SpaceEvidence& a = point.classes[c].spaces[s];
        const SpaceEvidence& b = answer.classes[c].spaces[s];
        EXPECT_EQ(a.space, b.space);
        EXPECT_EQ(a.score, b.score);
        EXPECT_EQ(a.winner.index, b.winner.index);
        EXPECT_EQ(a.winner.cosine, b.winner.cosine);
      }
    }
  }
}

TEST_F(ExplainTest, SaysWhatCannotBeExplained) {
  const Image image = MakePicture(20, 10);
  for (const auto& [x, y] : {std::pair{20, 0}, {0, 10}, {-1, 0}, {0, -1}}) {
    const auto outside =
        engine().Explain(image, Named(), Plain(), {x, y, 0}, {});
    EXPECT_EQ(outside.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(outside.status().message(), HasSubstr("20x10"));
  }
  const auto nobody = engine().Explain(image, Named(), Plain(), {0, 0, 3}, {});
  EXPECT_EQ(nobody.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(nobody.status().message(), HasSubstr("label 3"));
  EXPECT_EQ(engine().Explain(image, {}, Plain(), {}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  SegmentOptions bad = Plain();
  bad.spaces = {"smell"};
  EXPECT_EQ(engine().Explain(image, Named(), bad, {}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  CallControl cancelled;
  cancelled.cancellation.Cancel();
  EXPECT_EQ(
      engine().Explain(image, Named(), Plain(), {}, cancelled).status().code(),
      absl::StatusCode::kCancelled);
}

TEST_F(ExplainTest, AClassThatThePrefilterDropsHasNoPixel) {
  // Of two things that do not tie, one is dropped.
  const SegmentOptions options = engine().info().segment;
  const Image image = MakePicture(33, 30);
  const Explanation answer = Explain(image, Named(), options, {5, 5, 0});
  ASSERT_NE(answer.kept[0], answer.kept[1]);
  const size_t dropped = answer.kept[0] ? 1 : 0;
  EXPECT_EQ(Find(answer, Named()[dropped].label), nullptr);
  const auto asked = engine().Explain(image, Named(), options,
                                      {0, 0, Named()[dropped].label}, {});
  EXPECT_EQ(asked.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(asked.status().message(), HasSubstr("prefilter"));
}

TEST_F(ExplainTest, PictureMasksAreTheMapsOwn) {
  const SupportSet support = SquareSupport(3, 8, 4);
  const auto masks =
      engine().MakePictureMasks(support, {{2, 0}}, Prototype(), {});
  ASSERT_TRUE(masks.ok()) << masks.status();
  ASSERT_EQ(masks->size(), 2u);
  for (const PictureMasks& one : *masks) {
    ASSERT_EQ(one.side, kTinyPictureSize);
    ASSERT_EQ(one.foreground.size(), size_t{1} * one.side * one.side);
    EXPECT_EQ(one.foreground[2 * one.side + 2], 1);
    EXPECT_EQ(one.background[2 * one.side + 2], 0);
    EXPECT_EQ(one.foreground.back(), 0);
    EXPECT_EQ(one.background.back(), 1);
  }
  for (const int index : {-1, 3}) {
    EXPECT_EQ(engine()
                  .MakePictureMasks(support, {{index}}, Prototype(), {})
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

// Only the pictures asked for are cut, with the same answer.
TEST_F(ExplainTest, ProposedMasksAreThoseOfThePictureAlone) {
  const SupportSet support = Paint("cat");
  PrototypeOptions options = Prototype();
  options.mask_source = kMaskCutMasks;
  const auto all =
      engine().MakePictureMasks(support, {{0, 1, 2, 3}}, options, {});
  ASSERT_TRUE(all.ok()) << all.status();
  const auto some = engine().MakePictureMasks(support, {{3, 1}}, options, {});
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ((*some)[0].foreground, (*all)[3].foreground);
  EXPECT_EQ((*some)[0].background, (*all)[3].background);
  EXPECT_EQ((*some)[1].foreground, (*all)[1].foreground);
}

}  // namespace
}  // namespace ovdiff::engine
