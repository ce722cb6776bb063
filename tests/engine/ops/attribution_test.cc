#include "engine/ops/attribution.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

TEST(AttributionTest, EqualsTheReferencesOrderOfOperations) {
  AttributionAccumulator accumulator(6, 6);
  accumulator.Add(DrawnTensor(1, {2, 2, 36, 2}), 6, 6);
  accumulator.Add(DrawnTensor(2, {2, 3, 9, 2}), 3, 3);
  accumulator.Add(DrawnTensor(3, {2, 2, 2, 2}), 2, 1);
  EXPECT_TRUE(torch::allclose(
      accumulator.Finish(),
      ToTensor(LoadGoldens()["attribution"]["map"], {2, 6, 6}), 1e-5, 1e-6));
}

TEST(AttributionTest, HeadsAreClampedBeforeTheyAreSummed) {
  // A lone peak's bicubic has lobes below zero; another head must not fill
  // them.
  torch::Tensor probs = torch::zeros({1, 2, 16, 1});
  probs[0][0][5][0] = 1;
  AttributionAccumulator both(8, 8);
  both.Add(probs, 4, 4);
  AttributionAccumulator first(8, 8);
  first.Add(probs.narrow(1, 0, 1), 4, 4);
  const torch::Tensor map = first.Finish();
  EXPECT_GE(map.min().item<float>(), 0);
  EXPECT_TRUE(torch::allclose(both.Finish(), map / 2));
}

TEST(AttributionTest, FinishCanBeCalledWhileAdding) {
  AttributionAccumulator accumulator(2, 2);
  accumulator.Add(torch::full({1, 1, 4, 1}, 0.2f), 2, 2);
  const torch::Tensor early = accumulator.Finish();
  accumulator.Add(torch::full({1, 3, 4, 1}, 0.6f), 2, 2);
  EXPECT_TRUE(torch::allclose(early, torch::full({1, 2, 2}, 0.2f)));
  EXPECT_TRUE(
      torch::allclose(accumulator.Finish(), torch::full({1, 2, 2}, 0.5f)));
}

TEST(AttributionTest, StretchesEachPictureAlone) {
  const torch::Tensor maps =
      torch::tensor({1.0f, 2.0f, 3.0f, 0.0f, 0.0f, 10.0f}).reshape({2, 1, 3});
  EXPECT_TRUE(torch::allclose(
      StretchToUnit(maps),
      torch::tensor({0.0f, 0.5f, 1.0f, 0.0f, 0.0f, 1.0f}).reshape({2, 1, 3})));
}

TEST(AttributionTest, FlatMapsHaveNoForeground) {
  const torch::Tensor unit = StretchToUnit(torch::full({2, 3, 3}, 0.7f));
  EXPECT_TRUE(torch::equal(unit, torch::zeros({2, 3, 3})));
  const AttributionMasks masks =
      ThresholdMaps(ResizeAndStretch(unit, 6, 6), {0.2f, 0.5f});
  EXPECT_FALSE(masks.foreground.any().item<bool>());
  EXPECT_TRUE(masks.background.all().item<bool>());
}

TEST(AttributionTest, ResizeStretchesOnceMore) {
  const torch::Tensor maps = torch::tensor({0.0f, 1.0f}).reshape({1, 1, 2});
  // Bilinear at 4 columns: 0, 0.25, 0.75, 1; at 1: 0.5, which is flat.
  EXPECT_TRUE(torch::allclose(
      ResizeAndStretch(maps, 1, 4),
      torch::tensor({0.0f, 0.25f, 0.75f, 1.0f}).reshape({1, 1, 4})));
  EXPECT_EQ(ResizeAndStretch(maps, 1, 1).item<float>(), 0);
  // Three columns of five: the extremes 0.0 and 1.0 are not hit by resizing.
  const torch::Tensor shrunk =
      ResizeAndStretch(DrawnTensor(1, {2, 5, 5}), 3, 3);
  EXPECT_TRUE(torch::equal(shrunk.amax({1, 2}), torch::ones({2})));
  EXPECT_TRUE(torch::equal(shrunk.amin({1, 2}), torch::zeros({2})));
}

TEST(AttributionTest, BetweenTheThresholdsIsNeither) {
  const torch::Tensor maps =
      torch::tensor({0.1f, 0.25f, 0.3f, 0.5f, 0.9f}).reshape({1, 1, 5});
  const AttributionMasks masks = ThresholdMaps(maps, {0.25f, 0.5f});
  EXPECT_TRUE(torch::equal(masks.foreground.flatten(),
                           torch::tensor({0, 0, 0, 0, 1}).to(torch::kBool)));
  EXPECT_TRUE(torch::equal(masks.background.flatten(),
                           torch::tensor({1, 0, 0, 0, 0}).to(torch::kBool)));
}

TEST(AttributionTest, MaskToGridCountsArea) {
  // Two by two cells of 2x2 pixels: 4, 2, 1 and 0 of 4 are inside.
  const torch::Tensor mask =
      torch::tensor({1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0})
          .reshape({1, 4, 4})
          .to(torch::kBool);
  const auto grid = [&](double coverage) {
    return MaskToGrid(mask, 2, 2, coverage).flatten();
  };
  EXPECT_TRUE(
      torch::equal(grid(1.0), torch::tensor({1, 0, 0, 0}).to(torch::kBool)));
  EXPECT_TRUE(
      torch::equal(grid(0.5), torch::tensor({1, 1, 0, 0}).to(torch::kBool)));
  EXPECT_TRUE(
      torch::equal(grid(0.0), torch::tensor({1, 1, 1, 0}).to(torch::kBool)));
}

TEST(AttributionTest, MaskToAnotherOrAFinerGrid) {
  torch::Tensor mask = torch::zeros({1, 3, 5}, torch::kBool);
  mask.narrow(2, 0, 3).fill_(true);
  EXPECT_TRUE(
      torch::equal(MaskToGrid(mask, 1, 2, 0.5),
                   torch::tensor({1, 0}).reshape({1, 1, 2}).to(torch::kBool)));
  EXPECT_EQ(MaskToGrid(mask, 6, 10, 0.5).sum().item<int64_t>(), 36);
}

}  // namespace
}  // namespace ovdiff::engine
