#include "engine/pipeline/support_cells.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Background cells of two 8x8 pictures whose object is left of column `edge`,
// on a grid of 2x2 cells: of the first, whose mask was given, and of the
// second.
std::pair<int64_t, int64_t> BackgroundCells(int64_t edge) {
  torch::Tensor object = torch::zeros({2, 8, 8}, torch::kBool);
  object.narrow(2, 0, edge).fill_(true);
  const AttributionMasks masks{.foreground = object,
                               .background = object.logical_not()};
  const torch::Tensor given = torch::tensor({true, false}).unsqueeze(1);
  const PrototypeOptions options;
  SupportCells cells("space", masks, given, options);
  for (const int64_t picture : {0, 1}) {
    EXPECT_TRUE(cells.Add(picture, torch::ones({3, 2, 2})).ok());
  }
  const std::vector<int64_t>& first = cells.background().first;
  return {first[1] - first[0], first[2] - first[1]};
}

TEST(SupportCells, BesideAGivenMaskBackgroundIsWhatTheObjectDoesNotTouch) {
  EXPECT_EQ(BackgroundCells(4), std::pair(int64_t{2}, int64_t{2}));
  // A quarter of the right cells is the object's.
  EXPECT_EQ(BackgroundCells(5), std::pair(int64_t{0}, int64_t{2}));
}

}  // namespace
}  // namespace ovdiff::engine
