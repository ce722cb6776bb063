#include "engine/ops/roi_align.h"

#include <cmath>
#include <limits>

#include "engine/ops/mask_paste.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// [height, width, 2]: the cell's column, and ten times its row.
torch::Tensor Slopes(int64_t height, int64_t width) {
  const torch::Tensor columns = torch::arange(width, torch::kFloat32)
                                    .view({1, width})
                                    .expand({height, width});
  const torch::Tensor rows = 10 * torch::arange(height, torch::kFloat32)
                                      .view({height, 1})
                                      .expand({height, width});
  return torch::stack({columns, rows}, 2).contiguous();
}

torch::Tensor OneBox(double x0, double y0, double x1, double y1) {
  return torch::tensor({x0, y0, x1, y1}, torch::kFloat32).view({1, 4});
}

TEST(RoiAlign, OfASlopeIsTheValueAtTheBinsCentre) {
  // Pixels 16…48 at 8 a cell: cells 2…6 less the half pixel, 1.5…5.5.
  const torch::Tensor bins =
      RoiAlign(Slopes(8, 8), OneBox(16, 16, 48, 32), 1.0 / 8, 2);
  ASSERT_EQ(bins.sizes(), (std::vector<int64_t>{1, 2, 2, 2}));
  const float columns[] = {2.5F, 4.5F};
  const float rows[] = {20, 30};  // 1.5…3.5: centres 2 and 3, times ten
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x) {
      EXPECT_NEAR(bins[0][0][y][x].item<float>(), columns[x], 1e-5);
      EXPECT_NEAR(bins[0][1][y][x].item<float>(), rows[y], 1e-4);
    }
  }
}

TEST(RoiAlign, BeyondTheBorderIsTheBorderThenNothing) {
  const torch::Tensor ones = torch::ones({4, 4, 1});
  // Samples at -1 and 0 an axis.
  torch::Tensor bins = RoiAlign(ones, OneBox(-1, -1, 1, 1), 1, 2);
  EXPECT_TRUE(torch::allclose(bins, torch::ones({1, 1, 2, 2})));
  // A bin of two samples at -1.25 (nothing) and -0.25: half.
  bins = RoiAlign(ones, OneBox(-1.25, 0.5, 0.75, 1.5), 1, 1);
  EXPECT_NEAR(bins.item<float>(), 0.5, 1e-6);
  // Samples at 3.5 and 4.5 of 4 cells.
  bins = RoiAlign(ones, OneBox(3.5, 0.5, 5.5, 1.5), 1, 2);
  EXPECT_NEAR(bins[0][0][0][0].item<float>(), 1, 1e-6);
  EXPECT_EQ(bins[0][0][0][1].item<float>(), 0);
}

TEST(RoiAlign, ABoxWithoutExtentIsZero) {
  EXPECT_EQ(RoiAlign(torch::ones({4, 4, 3}), OneBox(2, 2, 2, 2), 1, 3)
                .abs()
                .sum()
                .item<float>(),
            0);
}

TEST(RoiAlign, ManyBoxesAreThoseOfEach) {
  const torch::Tensor features = torch::rand({9, 11, 3});
  torch::Tensor boxes = torch::rand({300, 4}) * 40;
  boxes.narrow(1, 2, 2).add_(boxes.narrow(1, 0, 2));
  const torch::Tensor all = RoiAlign(features, boxes, 0.25, 3);
  for (const int64_t i : {0, 127, 128, 255, 256, 299}) {
    EXPECT_TRUE(torch::equal(
        RoiAlign(features, boxes.narrow(0, i, 1), 0.25, 3)[0], all[i]));
  }
  EXPECT_EQ(RoiAlign(features, torch::zeros({0, 4}), 1, 3).sizes(),
            (std::vector<int64_t>{0, 3, 3, 3}));
}

TEST(RoiAlign, RefusesBoxesThatAreNotFinite) {
  EXPECT_ANY_THROW(
      RoiAlign(torch::ones({4, 4, 1}),
               OneBox(0, 0, std::numeric_limits<double>::infinity(), 1), 1, 2));
}

TEST(PasteMasks, WholeMasksFillTheirBoxesPixelCentres) {
  const torch::Tensor boxes =
      torch::tensor({1.0F, 0.0F, 4.0F, 2.0F, 0.0F, 1.0F, 1.4F, 4.0F})
          .view({2, 4});
  const torch::Tensor pasted = PasteMasks(torch::ones({2, 6, 6}), boxes, 4, 5);
  torch::Tensor expected = torch::zeros({2, 4, 5}, torch::kBool);
  expected[0].narrow(0, 0, 2).narrow(1, 1, 3).fill_(true);
  // The second pixel's centre, 1.5, is outside of the mask's last half cell.
  expected[1].narrow(0, 1, 3).narrow(1, 0, 1).fill_(true);
  EXPECT_TRUE(torch::equal(pasted, expected)) << pasted;
}

TEST(PasteMasks, IsBilinearAndHalfIsInside) {
  // Two cells, 1 and 0, over four pixels: 0.75, 0.75, 0.25, 0.
  const torch::Tensor mask = torch::tensor({1.0F, 0.0F}).view({1, 1, 2});
  const torch::Tensor box =
      torch::tensor({0.0F, 0.0F, 4.0F, 1.0F}).view({1, 4});
  EXPECT_TRUE(
      torch::equal(PasteMasks(mask, box, 1, 4),
                   torch::tensor({true, true, false, false}).view({1, 1, 4})));
  // Half of the way between them: exactly 0.5.
  EXPECT_TRUE(PasteMasks(mask,
                         torch::tensor({-0.5F, 0.0F, 1.5F, 1.0F}).view({1, 4}),
                         1, 1)
                  .item<bool>());
}

TEST(PasteMasks, NoMasksAreNoMasks) {
  EXPECT_EQ(
      PasteMasks(torch::zeros({0, 28, 28}), torch::zeros({0, 4}), 3, 4).sizes(),
      (std::vector<int64_t>{0, 3, 4}));
}

}  // namespace
}  // namespace ovdiff::engine
