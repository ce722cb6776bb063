// Options beyond the first release: each does what it says, through the engine.
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "engine/ops/attribution.h"
#include "engine/pipeline/clip_agreement.h"
#include "engine/pipeline/subset_search.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MethodOptionsTest : public EngineTest {
 protected:
  static PrototypeSet BuildWith(const SupportSet& support,
                                const PrototypeOptions& options) {
    auto set = engine().BuildPrototypeSet(support, options, {}, nullptr);
    EXPECT_TRUE(set.ok()) << set.status();
    return *std::move(set);
  }
  static Segmentation SegmentWith(const SegmentOptions& options) {
    auto result = engine().Segment(MakePicture(40, 30), Classes(), options, {});
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }
  static const std::vector<float>& Foreground(const PrototypeSet& set,
                                              size_t space) {
    return set.spaces[space].foreground.values;
  }
};

TEST_F(MethodOptionsTest, LeastAlikePicturesAreLeftOut) {
  EXPECT_THAT(LeastAlike({0.3, 0.1, 0.2, 0.1}, 0.5), ElementsAre(1, 3));
  // Of equals the later one goes.
  EXPECT_THAT(LeastAlike({0.1, 0.1, 0.1, 0.1}, 0.25), ElementsAre(3));
  EXPECT_THAT(LeastAlike({0.3, 0.1}, 0.49), IsEmpty());
  EXPECT_THAT(LeastAlike({0.3}, 0.99), IsEmpty());
  EXPECT_THAT(LeastAlike({kNeverPruned, 0.1, 0.2, kNeverPruned}, 0.5),
              ElementsAre(1));
}

TEST_F(MethodOptionsTest, PruningLeavesOutWhatClipLikesLeast) {
  SupportSet support = SquareSupport(4, 16, 8);
  support.prompt = "cat";
  PrototypeOptions options = Prototype();
  options.prune_share = 0.5;
  const PrototypeSet set = BuildWith(support, options);
  std::set<int32_t> sources;
  for (const int32_t source : set.spaces[0].foreground.source_pictures) {
    sources.insert(source);
  }
  sources.erase(-1);
  ASSERT_EQ(sources.size(), 2u);
  // The same set as of these two pictures alone: thresholds are the same, as
  // all maps are.
  SupportSet kept;
  for (const int32_t source : sources) {
    kept.pictures.push_back(support.pictures[source]);
  }
  EXPECT_EQ(Foreground(BuildWith(kept, Prototype()), 0), Foreground(set, 0));
  support.prompt.clear();
  EXPECT_THAT(std::string(engine()
                              .BuildPrototypeSet(support, options, {}, nullptr)
                              .status()
                              .message()),
              HasSubstr("prompt"));
}

TEST_F(MethodOptionsTest, NormalizedFeaturesHaveLengthOne) {
  PrototypeOptions options = Prototype();
  options.normalize_features = true;
  options.num_parts = 256;  // More than cells: each is its own centre.
  const PrototypeSet set = BuildWith(SquareSupport(1, 16, 8), options);
  const FeatureSpacePrototypes& space = set.spaces[0];
  int parts = 0;
  for (size_t i = 0; i < space.foreground.count(); ++i) {
    if (space.foreground.levels[i] != PrototypeLevel::kPart) {
      continue;
    }
    double squares = 0;
    for (int d = 0; d < space.dim; ++d) {
      squares += std::pow(space.foreground.values[i * space.dim + d], 2);
    }
    EXPECT_NEAR(squares, 1, 1e-4);
    ++parts;
  }
  EXPECT_GT(parts, 1);
}

TEST_F(MethodOptionsTest, BilinearCellsNeedOnePixelOfFour) {
  torch::Tensor mask = torch::zeros({1, 16, 16}, torch::kBool);
  // Cells of 8 pixels are read at pixels 3 and 4.
  mask[0][3][4] = true;
  mask[0][15][15] = true;  // Read by no cell.
  const torch::Tensor cells = MaskToGridBilinear(mask, 2, 2);
  EXPECT_TRUE(cells[0][0][0].item<bool>());
  EXPECT_EQ(cells.sum().item<int64_t>(), 1);
  EXPECT_FALSE(MaskToGrid(mask, 2, 2, 0.5).any().item<bool>());
}

TEST_F(MethodOptionsTest, CellRuleAndSharedNoiseChangeVectors) {
  // Its edges are not those of cells.
  const SupportSet support = SquareSupport(2, 16, 7);
  const PrototypeSet plain = BuildWith(support, Prototype());
  PrototypeOptions shared = Prototype();
  shared.shared_noise = true;
  const PrototypeSet noisy = BuildWith(support, shared);
  // Only the diffusion model's space has noise.
  EXPECT_EQ(Foreground(noisy, 0), Foreground(plain, 0));
  EXPECT_NE(Foreground(noisy, 1), Foreground(plain, 1));
  PrototypeOptions bilinear = Prototype();
  bilinear.cell_rule = kBilinearCells;
  bilinear.min_cell_coverage = 1;
  PrototypeOptions coverage = Prototype();
  coverage.min_cell_coverage = 1;
  EXPECT_NE(Foreground(BuildWith(support, bilinear), 0),
            Foreground(BuildWith(support, coverage), 0));
}

TEST_F(MethodOptionsTest, AHeavySpaceDecidesAlone) {
  SegmentOptions alone = Plain();
  alone.spaces = {"keys"};
  SegmentOptions heavy = Plain();
  heavy.space_weights = {{"keys", 100}, {"vision", 1e-6}, {"queries", 1e-6}};
  const Segmentation expected = SegmentWith(alone);
  const Segmentation found = SegmentWith(heavy);
  ASSERT_EQ(found.classes.size(), expected.classes.size());
  for (size_t i = 0; i < found.classes.size(); ++i) {
    EXPECT_NEAR(found.classes[i].max_score, expected.classes[i].max_score,
                1e-4);
  }
}

TEST_F(MethodOptionsTest, EqualWeightsAreTheMean) {
  SegmentOptions weighted = Plain();
  weighted.space_weights = {{"keys", 4}, {"vision", 4}, {"queries", 4}};
  const Segmentation expected = SegmentWith(Plain());
  const Segmentation found = SegmentWith(weighted);
  EXPECT_EQ(found.labels.data, expected.labels.data);
  EXPECT_NEAR(found.classes[0].max_score, expected.classes[0].max_score, 1e-6);
}

TEST_F(MethodOptionsTest, SubsetsReadWithOrWithoutArticles) {
  const std::vector<std::string> names = {"bag", "cat"};
  EXPECT_THAT(ListSubsets(names, true).texts,
              ElementsAre("a bag", "a cat", "a bag and a cat"));
  EXPECT_THAT(ListSubsets(names, false).texts,
              ElementsAre("bag", "cat", "bag and cat"));
}

TEST_F(MethodOptionsTest, AProfileIsTheEnginesDefault) {
  EngineOptions options;
  options.bundle_path = BundleFolder();
  options.profile = "paper-no-cutler";
  const auto made = CreateEngine(options);
  ASSERT_TRUE(made.ok()) << made.status();
  const EngineInfo& info = (*made)->info();
  EXPECT_EQ(info.default_profile, "paper-no-cutler");
  EXPECT_EQ(info.generation.num_steps, 30);
  EXPECT_FALSE(info.segment.windows.whole_picture);
  EXPECT_EQ(info.profiles.size(), 5u);
  options.profile = "peper";
  EXPECT_THAT(std::string(CreateEngine(options).status().message()),
              HasSubstr("there is no profile \"peper\"; there are default"));
  options.profile = "fast";  // The tiny bundle has no space "clip".
  EXPECT_THAT(std::string(CreateEngine(options).status().message()),
              HasSubstr("not for this bundle"));
}

}  // namespace
}  // namespace ovdiff::engine
