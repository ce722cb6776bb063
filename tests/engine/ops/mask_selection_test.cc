#include "engine/ops/mask_selection.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

using Picture = std::vector<std::string>;

// [H, W] bool: the pixels marked 'x'.
torch::Tensor Mask(const Picture& rows) {
  torch::Tensor mask = torch::zeros(
      {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())},
      torch::kBool);
  for (size_t y = 0; y < rows.size(); ++y) {
    for (size_t x = 0; x < rows[y].size(); ++x) {
      mask[y][x] = rows[y][x] == 'x';
    }
  }
  return mask;
}

// [M, H, W] bool.
torch::Tensor Masks(const std::vector<Picture>& pictures) {
  std::vector<torch::Tensor> masks;
  for (const Picture& picture : pictures) {
    masks.push_back(Mask(picture));
  }
  return torch::stack(masks);
}

// [H, W] float32: tenths.
torch::Tensor Map(const Picture& digits) {
  torch::Tensor map = torch::zeros({static_cast<int64_t>(digits.size()),
                                    static_cast<int64_t>(digits[0].size())});
  for (size_t y = 0; y < digits.size(); ++y) {
    for (size_t x = 0; x < digits[y].size(); ++x) {
      map[y][x] = static_cast<float>(digits[y][x] - '0') / 10.0f;
    }
  }
  return map;
}

void ExpectMask(const torch::Tensor& mask, const Picture& expected) {
  EXPECT_TRUE(torch::equal(mask, Mask(expected))) << mask;
}

MaskSelectionOptions BackgroundBelow(double value) {
  MaskSelectionOptions options;
  options.background_below = value;
  return options;
}

MaskSelectionOptions BrightAbove(double value) {
  MaskSelectionOptions options;
  options.bright_above = value;
  return options;
}

TEST(MaskSelectionTest, TheBrightestProposalAndTheDimmestRest) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx......", "xx......", "........", "........"},
                         {"...xx...", "...xx...", "........", "........"}}),
                  Map({"44099111", "44099111", "11111111", "11111111"}), {});
  EXPECT_FALSE(masks.used_thresholds);
  ExpectMask(masks.foreground,
             {"...xx...", "...xx...", "........", "........"});
  // The complement; it loses the pixels beside other masks.
  ExpectMask(masks.background,
             {"......xx", "......xx", "..x..xxx", "xxxxxxxx"});
}

TEST(MaskSelectionTest, TheScoreIsTheMeanNotTheSum) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxxx...."}, {".....x.."}}), Map({"55550900"}), {});
  ExpectMask(masks.foreground, {".....x.."});
}

TEST(MaskSelectionTest, OverlapsBelongToTheHigherRank) {
  // The second proposal is the brighter; the first has what it leaves. It is
  // the dimmest thing there is, and so the background, where it is dim.
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxxxxx.."}, {"....xx.."}}), Map({"00009944"}), {});
  ExpectMask(masks.foreground, {"....xx.."});
  ExpectMask(masks.background, {"xxx....."});
}

TEST(MaskSelectionTest, WhatIsCoveredWhollyIsNotVisible) {
  // The third has the lowest score, but the first covers it.
  const SelectedMasks masks =
      SelectMasks(Masks({{"..xx....x"}, {".....xxxx"}, {"..xx....."}}),
                  Map({"221220009"}), BackgroundBelow(0.25));
  // Scores: 0.4, 0.225, 0.15, complement 0.2.
  ExpectMask(masks.foreground, {"..xx....x"});
  ExpectMask(masks.background, {"x........"});
}

TEST(MaskSelectionTest, BackgroundMustBeDim) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx......"}}), Map({"99111311"}), {});
  ExpectMask(masks.foreground, {"xx......"});
  ExpectMask(masks.background, {"...x...x"});
}

TEST(MaskSelectionTest, BelowMeansBelow) {
  const SelectedMasks masks = SelectMasks(Masks({{"x..."}}), Map({"9222"}), {});
  ExpectMask(masks.background, {"...."});
  const SelectedMasks higher =
      SelectMasks(Masks({{"x..."}}), Map({"9222"}), BackgroundBelow(0.25));
  ExpectMask(higher.background, {"..xx"});
}

TEST(MaskSelectionTest, EqualScoresKeepTheirOrder) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"..xx.."}, {"xx...."}}), Map({"777700"}), {});
  ExpectMask(masks.foreground, {"..xx.."});
}

TEST(MaskSelectionTest, NoProposal) {
  const torch::Tensor map = Map({"0129", "1569", "0159"});
  const SelectedMasks masks =
      SelectMasks(torch::zeros({0, 3, 4}, torch::kBool), map, {});
  EXPECT_TRUE(masks.used_thresholds);
  ExpectMask(masks.foreground, {"...x", "..xx", "...x"});
  // Not eroded.
  ExpectMask(masks.background, {"xx..", "x...", "xx.."});
}

TEST(MaskSelectionTest, EmptyProposalsAreNone) {
  const torch::Tensor map = Map({"0129", "1569", "0159"});
  const SelectedMasks none =
      SelectMasks(torch::zeros({2, 3, 4}, torch::kBool), map, {});
  EXPECT_TRUE(none.used_thresholds);
  ExpectMask(none.foreground, {"...x", "..xx", "...x"});
  const SelectedMasks one = SelectMasks(
      Masks({{"....", "....", "...."}, {"...x", "...x", "...x"}}), map, {});
  EXPECT_FALSE(one.used_thresholds);
  ExpectMask(one.foreground, {"...x", "...x", "...x"});
}

TEST(MaskSelectionTest, AFlatMapChoosesNothing) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx..", "xx.."}}), torch::zeros({2, 4}), {});
  EXPECT_TRUE(masks.used_thresholds);
  EXPECT_FALSE(masks.foreground.any().item<bool>());
  EXPECT_TRUE(masks.background.all().item<bool>());
}

TEST(MaskSelectionTest, ProposalsThatMissTheAttributionAreNotChosen) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx......"}}), Map({"00000899"}), {});
  EXPECT_TRUE(masks.used_thresholds);
  ExpectMask(masks.foreground, {".....xxx"});
}

// method.md 14.5: the program's complement scores 0/0 and wins everything.
TEST(MaskSelectionTest, ProposalsThatCoverThePicture) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxx.....", "xxx....."}, {"..xxxxxx", "..xxxxxx"}}),
                  Map({"99911111", "99911111"}), {});
  ExpectMask(masks.foreground, {"xxx.....", "xxx....."});
  ExpectMask(masks.background, {"....xxxx", "....xxxx"});
}

TEST(MaskSelectionTest, OneMaskOverThePictureHasNoBackground) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxxx", "xxxx"}}), Map({"9111", "9111"}), {});
  EXPECT_TRUE(masks.foreground.all().item<bool>());
  EXPECT_FALSE(masks.background.any().item<bool>());
}

TEST(MaskSelectionTest, TheComplementIsNeverForeground) {
  // It scores 0.42, the proposal 0.1, and yet.
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxx....."}}), Map({"11111199"}), {});
  EXPECT_FALSE(masks.used_thresholds);
  ExpectMask(masks.foreground, {"xxx....."});
  ExpectMask(masks.background, {"....x..."});
}

TEST(MaskSelectionTest, ABrightComplementIsNotTheLowest) {
  // Ranked: complement 0.9, first 0.5, second 0.1.
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx......"}, {"....xxxx"}}), Map({"55991111"}), {});
  ExpectMask(masks.foreground, {"xx......"});
  ExpectMask(masks.background, {".....xxx"});
}

TEST(MaskSelectionTest, NothingMayBeLeftOfTheBackground) {
  // Dim pixels are one wide: the erosion takes them.
  const SelectedMasks eroded = SelectMasks(Masks({{"xx..", "xx..", "xx.."}}),
                                           Map({"9915", "9951", "9915"}), {});
  EXPECT_TRUE(eroded.foreground.any().item<bool>());
  EXPECT_FALSE(eroded.background.any().item<bool>());
  const SelectedMasks bright =
      SelectMasks(Masks({{"xx.."}}), Map({"9955"}), {});
  EXPECT_FALSE(bright.background.any().item<bool>());
}

TEST(MaskSelectionTest, SidesAreDisjointOnNoise) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const torch::Tensor proposals =
        DrawnTensor(seed, {seed % 5, 9, 7}) > 0.3 + 0.02 * seed;
    const SelectedMasks masks = SelectMasks(
        proposals, DrawnTensor(seed + 100, {9, 7}), BackgroundBelow(0.6));
    EXPECT_FALSE(
        masks.foreground.logical_and(masks.background).any().item<bool>());
    EXPECT_TRUE(masks.foreground.any().item<bool>());
    const SelectedMasks cut =
        SelectMasks(proposals, DrawnTensor(seed + 100, {9, 7}),
                    {.background_below = 0.6, .bright_above = 0.03 * seed});
    EXPECT_FALSE(cut.foreground.logical_and(cut.background).any().item<bool>());
  }
}

TEST(MaskSelectionTest, AnObjectIsCutToWhereItIsNotDim) {
  // It covers one of the two bright pixels: half is enough.
  const SelectedMasks masks =
      SelectMasks(Masks({{"xxx..."}}), Map({"129011"}), BrightAbove(0.15));
  ExpectMask(masks.foreground, {".xx..."});
  EXPECT_FALSE(masks.used_thresholds);
  const SelectedMasks whole =
      SelectMasks(Masks({{"xxx..."}}), Map({"129011"}), {});
  ExpectMask(whole.foreground, {"xxx..."});
  // What is cut away is no background: that comes from the rest.
  EXPECT_TRUE(torch::equal(masks.background, whole.background));
  ExpectMask(masks.background, {"....xx"});
}

TEST(MaskSelectionTest, AnObjectThatMissesMostOfWhatIsBrightIsNotBelieved) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx....."}}), Map({"9188811"}), BrightAbove(0.5));
  ExpectMask(masks.foreground, {"x.xxx.."});
  EXPECT_FALSE(masks.used_thresholds);
  EXPECT_FALSE(
      masks.foreground.logical_and(masks.background).any().item<bool>());
  ExpectMask(masks.background, {"......x"});
}

TEST(MaskSelectionTest, NothingBrightAndAllDimLeavesNoObject) {
  const SelectedMasks masks =
      SelectMasks(Masks({{"xx.."}}), Map({"1100"}), BrightAbove(0.5));
  EXPECT_FALSE(masks.foreground.any().item<bool>());
}

TEST(MaskSelectionTest, RefusesOtherShapesAndTypes) {
  const torch::Tensor map = torch::zeros({2, 3});
  EXPECT_ANY_THROW(SelectMasks(torch::zeros({1, 2, 3}), map, {}));
  EXPECT_ANY_THROW(SelectMasks(torch::zeros({2, 3}, torch::kBool), map, {}));
  EXPECT_ANY_THROW(SelectMasks(torch::zeros({1, 3, 2}, torch::kBool), map, {}));
}

TEST(ErodeByCrossTest, TakesTheRimButNotTheBorder) {
  ExpectMask(ErodeByCross(Mask({"xxxxx", "xxxxx", "xxxxx", "xx.xx", "xxxxx"})),
             {"xxxxx", "xxxxx", "xx.xx", "x...x", "xx.xx"});
  ExpectMask(ErodeByCross(Mask({"xxx", "xxx"})), {"xxx", "xxx"});
  ExpectMask(ErodeByCross(Mask({"x"})), {"x"});
  ExpectMask(ErodeByCross(Mask({"xx.x"})), {"x..."});
  // Over an edge, not over a corner.
  ExpectMask(ErodeByCross(Mask({"xxx", "xxx", "xx."})), {"xxx", "xx.", "x.."});
}

}  // namespace
}  // namespace ovdiff::engine
