#include "engine/ops/boxes.h"

#include <cmath>
#include <vector>

#include "engine/ops/anchors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

torch::Tensor Floats(std::vector<double> values, std::vector<int64_t> shape) {
  return torch::tensor(values, torch::kFloat32).view(shape);
}

void ExpectEqual(const torch::Tensor& actual, const torch::Tensor& expected,
                 double tolerance = 1e-5) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_TRUE(torch::allclose(actual, expected, tolerance, tolerance))
      << actual << expected;
}

// 20 x 10 pixels around (20, 15).
torch::Tensor Box() { return Floats({10, 10, 30, 20}, {1, 4}); }

TEST(GridAnchors, AreaAndShapeAroundTheCellsCorner) {
  const torch::Tensor anchors = GridAnchors(2, 3, 8, 32, {0.25, 1});
  ASSERT_EQ(anchors.sizes(), (std::vector<int64_t>{12, 4}));
  // h / w of a quarter: 64 x 16. Offset 0: the first centre is the corner.
  ExpectEqual(anchors[0], Floats({-32, -8, 32, 8}, {4}));
  ExpectEqual(anchors[1], Floats({-16, -16, 16, 16}, {4}));
  // Columns before rows: cell 1 is to the right of cell 0, cell 3 below.
  ExpectEqual(anchors[2], Floats({-24, -8, 40, 8}, {4}));
  ExpectEqual(anchors[6], Floats({-32, 0, 32, 16}, {4}));
}

TEST(DecodeBoxes, MovesBySidesAndStretchesByPowers) {
  ExpectEqual(DecodeBoxes(torch::zeros({1, 4}), Box(), {1, 1, 1, 1}), Box());
  // A tenth of the sides to the right and down, twice as wide, half as high.
  const double two = std::log(2);
  ExpectEqual(DecodeBoxes(Floats({1, 1, 5 * two, -5 * two}, {1, 4}), Box(),
                          {10, 10, 5, 5}),
              Floats({2, 13.5, 42, 18.5}, {1, 4}));
}

TEST(DecodeBoxes, StretchIsBounded) {
  const torch::Tensor boxes =
      DecodeBoxes(Floats({0, 0, 100, 5}, {1, 4}), Box(), {1, 1, 1, 1});
  // 62.5 times 20 and 62.5 times 10 pixels.
  ExpectEqual(boxes,
              Floats({20 - 625, 15 - 312.5, 20 + 625, 15 + 312.5}, {1, 4}),
              1e-4);
}

TEST(ClipBoxes, KeepsToThePictureAndShowsWhatIsOutside) {
  const torch::Tensor clipped =
      ClipBoxes(Floats({-5, -5, 50, 8, 45, 2, 60, 9, 3, 4, 5, 6}, {3, 4}),
                /*width=*/40, /*height=*/30);
  ExpectEqual(clipped, Floats({0, 0, 40, 8, 40, 2, 40, 9, 3, 4, 5, 6}, {3, 4}));
  EXPECT_TRUE(
      torch::equal(NonEmptyBoxes(clipped), torch::tensor({true, false, true})));
}

TEST(SuppressBoxes, TheBetterOfTwoThatOverlapStays) {
  // 0 and 1 share 50 of 150 pixels, 1 and 2 share 60 of 140.
  const torch::Tensor boxes =
      Floats({0, 0, 10, 10, 5, 0, 15, 10, 9, 0, 19, 10}, {3, 4});
  const torch::Tensor scores = Floats({0.5, 0.9, 0.7}, {3});
  const auto kept = [&](double threshold) {
    return SuppressBoxes(boxes, scores, threshold);
  };
  EXPECT_TRUE(torch::equal(kept(0.5), torch::tensor({1, 2, 0})));
  EXPECT_TRUE(torch::equal(kept(0.4), torch::tensor({1, 0})));
  EXPECT_TRUE(torch::equal(kept(0.3), torch::tensor({1})));
}

// Box 2 is covered by 1, and 1 by 0: what is gone covers nothing.
TEST(SuppressBoxes, ASuppressedBoxSuppressesNothing) {
  const torch::Tensor boxes =
      Floats({0, 0, 10, 10, 4, 0, 14, 10, 8, 0, 18, 10}, {3, 4});
  EXPECT_TRUE(
      torch::equal(SuppressBoxes(boxes, Floats({0.9, 0.8, 0.7}, {3}), 0.4),
                   torch::tensor({0, 2})));
}

TEST(SuppressBoxes, ExactlyTheThresholdStays) {
  // 50 of 100 pixels.
  const torch::Tensor boxes = Floats({0, 0, 10, 10, 0, 0, 10, 5}, {2, 4});
  EXPECT_EQ(SuppressBoxes(boxes, Floats({1, 0.5}, {2}), 0.5).size(0), 2);
}

TEST(SuppressBoxes, TiesGoToTheFirst) {
  const torch::Tensor boxes = Box().repeat({4, 1});
  EXPECT_TRUE(torch::equal(SuppressBoxes(boxes, torch::ones({4}), 0.5),
                           torch::tensor({int64_t{0}})));
  EXPECT_EQ(SuppressBoxes(torch::zeros({0, 4}), torch::zeros({0}), 0.5).size(0),
            0);
}

TEST(Boxes, RefuseWhatIsNoListOfBoxes) {
  EXPECT_ANY_THROW(ClipBoxes(torch::zeros({2, 3}), 1, 1));
  EXPECT_ANY_THROW(SuppressBoxes(torch::zeros({2, 4}), torch::zeros({3}), 0.5));
}

}  // namespace
}  // namespace ovdiff::engine
