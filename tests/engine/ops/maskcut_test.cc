#include "engine/ops/maskcut.h"

#include <cmath>
#include <vector>

#include "engine/ops/key_affinity.h"
#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

// Keys [3, height, width] of one direction per mark in `picture`; '.' is the
// ground. Directions are at right angles.
torch::Tensor Keys(const std::vector<std::string>& picture) {
  const auto height = static_cast<int64_t>(picture.size());
  const auto width = static_cast<int64_t>(picture[0].size());
  torch::Tensor keys = torch::zeros({3, height, width});
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const char mark = picture[y][x];
      keys[mark == '.' ? 0 : mark == 'a' ? 1 : 2][y][x] = 1;
    }
  }
  return keys;
}

// The cells of `mark`, as a mask.
torch::Tensor Where(const std::vector<std::string>& picture, char mark) {
  torch::Tensor mask = torch::zeros({static_cast<int64_t>(picture.size()),
                                     static_cast<int64_t>(picture[0].size())},
                                    torch::kBool);
  for (size_t y = 0; y < picture.size(); ++y) {
    for (size_t x = 0; x < picture[y].size(); ++x) {
      mask[y][x] = picture[y][x] == mark;
    }
  }
  return mask;
}

torch::Tensor Cut(const torch::Tensor& keys,
                  const MaskCutOptions& options = {}) {
  const auto masks = MaskCut(keys, options);
  EXPECT_TRUE(masks.ok()) << masks.status();
  return masks.ok() ? *masks : torch::Tensor();
}

std::vector<double> Vector(const std::vector<std::string>& digits) {
  std::vector<double> vector;
  for (const std::string& row : digits) {
    for (const char digit : row) {
      vector.push_back(digit - '5');
    }
  }
  return vector;
}

TEST(ObjectSideTest, TheStrongSideIsTheObject) {
  const std::vector<std::string> digits = {"4444", "4994", "4944", "4444"};
  const CutSide side = ObjectSide(Vector(digits), 4, 4);
  EXPECT_FALSE(side.swapped);
  EXPECT_TRUE(torch::equal(side.cells, Where(digits, '9')));
}

TEST(ObjectSideTest, ASideWithThreeCornersIsTheGround) {
  const std::vector<std::string> digits = {"9999", "9119", "9199", "1999"};
  const CutSide side = ObjectSide(Vector(digits), 4, 4);
  EXPECT_TRUE(side.swapped);
  // The part of the first of the weakest cells, without the fourth corner.
  EXPECT_TRUE(
      torch::equal(side.cells, Where({"....", ".xx.", ".x..", "...."}, 'x')));
}

TEST(ObjectSideTest, TwoCornersMayBeTheObjects) {
  const std::vector<std::string> digits = {"9991", "9111", "9111", "9111"};
  const CutSide side = ObjectSide(Vector(digits), 4, 4);
  EXPECT_FALSE(side.swapped);
  EXPECT_TRUE(torch::equal(side.cells, Where(digits, '9')));
}

TEST(ObjectSideTest, OnlyThePartOfTheStrongestCell) {
  const std::vector<std::string> digits = {"111111", "188111", "111191",
                                           "188191", "111111"};
  const CutSide side = ObjectSide(Vector(digits), 5, 6);
  EXPECT_TRUE(torch::equal(side.cells, Where(digits, '9')));
}

TEST(ObjectSideTest, CornersDoNotHoldAPartTogether) {
  const std::vector<std::string> digits = {"1111", "1911", "1181", "1111"};
  const CutSide side = ObjectSide(Vector(digits), 4, 4);
  EXPECT_TRUE(torch::equal(side.cells, Where(digits, '9')));
}

TEST(ObjectSideTest, RowsAndColumnsOfOneCell) {
  EXPECT_EQ(ObjectSide(Vector({"19911"}), 1, 5).cells.sum().item<int64_t>(), 2);
  EXPECT_EQ(
      ObjectSide(Vector({"1", "9", "1"}), 3, 1).cells.sum().item<int64_t>(), 1);
}

TEST(MaskCutTest, CutsOneObjectAfterTheOther) {
  const std::vector<std::string> picture = {"............", "..aaa.......",
                                            "..aaa..bb...", "..aaa..bb...",
                                            "............", "............"};
  const torch::Tensor masks = Cut(Keys(picture));
  ASSERT_EQ(masks.size(0), 2) << masks;
  EXPECT_TRUE(torch::equal(masks[0], Where(picture, 'b')) ||
              torch::equal(masks[0], Where(picture, 'a')));
  EXPECT_TRUE(
      torch::equal(masks[0].logical_or(masks[1]),
                   Where(picture, 'a').logical_or(Where(picture, 'b'))));
  EXPECT_FALSE(masks[0].logical_and(masks[1]).any().item<bool>());
}

TEST(MaskCutTest, MaxMasksEndsTheRounds) {
  const std::vector<std::string> picture = {"........", "..aa.bb.", "..aa.bb.",
                                            "........"};
  MaskCutOptions options;
  options.max_masks = 1;
  EXPECT_EQ(Cut(Keys(picture), options).size(0), 1);
}

TEST(MaskCutTest, CrumbsOfLaterRoundsAreDropped) {
  // 'b' is one cell of 144: less than 1 %, and by far the strongest.
  std::vector<std::string> picture(12, std::string(12, '.'));
  for (int y = 2; y < 7; ++y) picture[y].replace(2, 5, "aaaaa");
  picture[9][9] = 'b';
  const torch::Tensor masks = Cut(Keys(picture));
  // The first round may be one cell; no later one.
  for (int64_t i = 1; i < masks.size(0); ++i) {
    EXPECT_GT(masks[i].sum().item<int64_t>(), 1);
  }
}

TEST(MaskCutTest, MasksAreDisjointAndNotEmptyOnNoise) {
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    MaskCutOptions options;
    options.max_masks = 5;
    const torch::Tensor masks =
        Cut(DrawnTensor(seed, {5, 9, 11}) - 0.4, options);
    ASSERT_LE(masks.size(0), 5);
    if (masks.size(0) == 0) continue;
    EXPECT_LE(masks.sum(0).max().item<int64_t>(), 1);
    EXPECT_TRUE(masks.any(2).any(1).all().item<bool>());
  }
}

TEST(MaskCutTest, APictureOfOneColourHasNoMask) {
  EXPECT_EQ(Cut(torch::ones({4, 5, 6})).sizes(),
            (std::vector<int64_t>{0, 5, 6}));
  EXPECT_EQ(Cut(torch::zeros({4, 5, 6})).size(0), 0);
  EXPECT_EQ(Cut(torch::ones({4, 1, 1})).size(0), 0);
}

TEST(MaskCutTest, ACutThatDoesNotSettleEndsTheRounds) {
  // A ribbon of slowly turning keys: no gap between its eigenvalues.
  torch::Tensor angle = torch::arange(900).to(torch::kFloat32) * 0.01;
  const torch::Tensor keys =
      torch::stack({angle.cos(), angle.sin()}).reshape({2, 1, 900});
  MaskCutOptions options;
  options.affinity_threshold = 0.999;
  const auto masks = MaskCut(keys, options, {.max_products = 1});
  ASSERT_TRUE(masks.ok()) << masks.status();
  EXPECT_EQ(masks->size(0), 0);
}

TEST(MaskCutTest, RefusesWhatIsOutOfRange) {
  const auto code = [](const torch::Tensor& keys,
                       const MaskCutOptions& options) {
    return MaskCut(keys, options).status().code();
  };
  const torch::Tensor good = torch::ones({2, 3, 3});
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(good, {.affinity_threshold = 1}), kInvalid);
  EXPECT_EQ(code(good, {.affinity_threshold = std::nan("")}), kInvalid);
  EXPECT_EQ(code(good, {.max_masks = 0}), kInvalid);
  EXPECT_EQ(code(torch::ones({2, 3}), {}), kInvalid);
  EXPECT_EQ(code(torch::ones({0, 3, 3}), {}), kInvalid);
  EXPECT_EQ(code(torch::ones({2, 0, 3}), {}), kInvalid);
  EXPECT_EQ(code(good.to(torch::kFloat64), {}), kInvalid);
  EXPECT_EQ(code(torch::ones({1, 65, 64}), {}), kInvalid);
  torch::Tensor bad = torch::ones({2, 3, 3});
  bad[1][2][0] = std::nanf("");
  EXPECT_EQ(code(bad, {}), kInvalid);
}

}  // namespace
}  // namespace ovdiff::engine
