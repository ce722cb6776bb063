#include "engine/ops/windows.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kNoLimit = 1 << 20;

TEST(WindowsTest, ThePapersExampleHasNineWindows) {
  // method.md section 6: 448x597 gives 2 + 6 + 1.
  const auto windows =
      SlidingWindows({597, 448}, {448, 336}, 224, true, kNoLimit);
  ASSERT_TRUE(windows.ok()) << windows.status();
  const ImageSize large{448, 448};
  const ImageSize small{336, 336};
  EXPECT_THAT(*windows,
              ElementsAre(Window{0, 0, large}, Window{149, 0, large},
                          Window{0, 0, small}, Window{224, 0, small},
                          Window{261, 0, small}, Window{0, 112, small},
                          Window{224, 112, small}, Window{261, 112, small},
                          Window{0, 0, {597, 448}}));
}

TEST(WindowsTest, EqualRectanglesBecomeOneWithWeight) {
  const auto windows =
      SlidingWindows({448, 448}, {448, 600}, 224, true, kNoLimit);
  ASSERT_TRUE(windows.ok()) << windows.status();
  EXPECT_THAT(*windows, ElementsAre(Window{0, 0, {448, 448}, 3}));
}

TEST(WindowsTest, SizeBeyondOneSideIsCutToIt) {
  const auto windows = SlidingWindows({10, 4}, {6}, 5, false, kNoLimit);
  ASSERT_TRUE(windows.ok()) << windows.status();
  EXPECT_THAT(*windows,
              ElementsAre(Window{0, 0, {6, 4}}, Window{4, 0, {6, 4}}));
}

TEST(WindowsTest, EveryPixelIsCovered) {
  for (const ImageSize picture :
       {ImageSize{1, 1}, ImageSize{7, 31}, ImageSize{64, 65}}) {
    const auto windows = SlidingWindows(picture, {8, 5}, 5, false, kNoLimit);
    ASSERT_TRUE(windows.ok()) << windows.status();
    WindowMerger merger(1, picture, torch::kCPU);
    for (const Window& window : *windows) {
      EXPECT_LE(window.x + window.size.width, picture.width);
      EXPECT_LE(window.y + window.size.height, picture.height);
      merger.Add(torch::ones({1, 1, 1}), window);
    }
    EXPECT_TRUE(torch::equal(merger.Finish(),
                             torch::ones({1, picture.height, picture.width})));
  }
}

TEST(WindowsTest, RefusesBadArguments) {
  const ImageSize picture{20, 20};
  for (const auto& result :
       {SlidingWindows({0, 20}, {8}, 4, true, kNoLimit),
        SlidingWindows(picture, {}, 4, false, kNoLimit),
        SlidingWindows(picture, {0}, 4, true, kNoLimit),
        SlidingWindows(picture, {8}, 0, true, kNoLimit),
        SlidingWindows(picture, {8}, 9, true, kNoLimit),
        SlidingWindows(picture, {8}, 4, true, 16),
        SlidingWindows({2000000000, 2000000000}, {1}, 1, true, kNoLimit)}) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(result.status().message(), Not(IsEmpty()));
  }
  EXPECT_TRUE(SlidingWindows(picture, {8}, 4, true, 17).ok());
  EXPECT_TRUE(SlidingWindows(picture, {}, 0, true, kNoLimit).ok());
}

TEST(WindowMergerTest, AveragesOverlapsByWeight) {
  WindowMerger merger(2, {3, 1}, torch::kCPU);
  // Row 0 and row 1 of the scores are different classes.
  merger.Add(torch::tensor({1.0f, 10.0f}).reshape({2, 1, 1}),
             {.x = 0, .y = 0, .size = {2, 1}, .weight = 3});
  merger.Add(torch::tensor({5.0f, 50.0f}).reshape({2, 1, 1}),
             {.x = 1, .y = 0, .size = {1, 1}});
  EXPECT_TRUE(torch::allclose(
      merger.Finish(), torch::tensor({1.0f, 2.0f, 0.0f, 10.0f, 20.0f, 0.0f})
                           .reshape({2, 1, 3})));
}

TEST(WindowMergerTest, UpsamplesBilinearWithoutAlignedCorners) {
  WindowMerger merger(1, {4, 1}, torch::kCPU);
  merger.Add(torch::tensor({0.0f, 4.0f}).reshape({1, 1, 2}), {.size = {4, 1}});
  EXPECT_TRUE(torch::allclose(
      merger.Finish(),
      torch::tensor({0.0f, 1.0f, 3.0f, 4.0f}).reshape({1, 1, 4})));
}

// Cells by their weights are the pixels by theirs, upsampled.
TEST(CellWeightsTest, AreTheTransposedUpsampling) {
  const ImageSize size{.width = 31, .height = 22};
  const std::vector<PixelWeight> pixels = {
      {0, 0, 0.25}, {30, 21, 0.5}, {17, 9, 0.125}, {18, 9, 0.125}};
  for (const auto& [h, w] : {std::pair{5, 8}, {1, 1}, {40, 50}}) {
    const torch::Tensor cells =
        torch::arange(h * w, torch::kFloat32).view({1, h, w}).sin();
    WindowMerger merger(1, size, torch::kCPU);
    merger.Add(cells, {.size = size});
    const torch::Tensor map = merger.Finish();
    double expected = 0;
    for (const PixelWeight& pixel : pixels) {
      expected += pixel.weight * map[0][pixel.y][pixel.x].item<float>();
    }
    const torch::Tensor weights = CellWeights(pixels, size, h, w);
    EXPECT_NEAR((cells[0] * weights).sum().item<float>(), expected, 1e-6);
    EXPECT_NEAR(weights.sum().item<float>(), 1.0, 1e-6);
  }
}

}  // namespace
}  // namespace ovdiff::engine
