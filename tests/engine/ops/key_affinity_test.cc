#include "engine/ops/key_affinity.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

// M, column by column.
torch::Tensor Matrix(const KeyAffinity& affinity) {
  const int64_t n = affinity.num_cells();
  torch::Tensor matrix = torch::empty({n, n}, torch::kFloat64);
  for (int64_t j = 0; j < n; ++j) {
    std::vector<double> unit(n, 0);
    std::vector<double> column(n, -1);
    unit[j] = 1;
    affinity.Multiply(unit, absl::MakeSpan(column));
    matrix.select(1, j).copy_(torch::tensor(column, torch::kFloat64));
  }
  return matrix;
}

TEST(KeyAffinityTest, BothStoragesLinkWhatIsAboveTheThreshold) {
  // More cells than a block of rows, and no multiple of it.
  const torch::Tensor keys = DrawnTensor(5, {6, 301}) - 0.5;
  const torch::Tensor unit = keys / keys.norm(2, {0}, true);
  const torch::Tensor cosine =
      unit.to(torch::kFloat64).t().matmul(unit.to(torch::kFloat64));
  const double threshold = 0.2;
  ASSERT_GT((cosine - threshold).abs().min().item<double>(), 1e-7);
  const torch::Tensor expected = (cosine > threshold).to(torch::kFloat64);
  for (const auto storage :
       {KeyAffinity::Storage::kLists, KeyAffinity::Storage::kDense}) {
    const KeyAffinity affinity(keys, threshold, storage);
    EXPECT_TRUE(torch::equal(Matrix(affinity), expected));
  }
}

TEST(KeyAffinityTest, MultipliesVectors) {
  const torch::Tensor keys = DrawnTensor(6, {4, 60}) - 0.5;
  const std::vector<double> x = Draws(7, 60);
  const KeyAffinity lists(keys, 0.1, KeyAffinity::Storage::kLists);
  const KeyAffinity dense(keys, 0.1, KeyAffinity::Storage::kDense);
  std::vector<double> a(60);
  std::vector<double> b(60);
  lists.Multiply(x, absl::MakeSpan(a));
  dense.Multiply(x, absl::MakeSpan(b));
  const torch::Tensor expected =
      Matrix(lists).mv(torch::tensor(x, torch::kFloat64));
  for (int64_t i = 0; i < 60; ++i) {
    EXPECT_NEAR(a[i], expected[i].item<double>(), 1e-12);
    EXPECT_NEAR(b[i], expected[i].item<double>(), 1e-12);
  }
}

TEST(KeyAffinityTest, ZeroKeysAreLinkedToNothing) {
  torch::Tensor keys = torch::ones({3, 4});
  keys.select(1, 2).zero_();
  for (const auto storage :
       {KeyAffinity::Storage::kLists, KeyAffinity::Storage::kDense}) {
    const torch::Tensor matrix = Matrix(KeyAffinity(keys, 0.5, storage));
    EXPECT_EQ(matrix.sum().item<double>(), 9);
    EXPECT_EQ(matrix[2].sum().item<double>(), 0);
  }
}

TEST(KeyAffinityTest, RefusesMoreCellsThanItsLimit) {
  EXPECT_ANY_THROW(KeyAffinity(torch::ones({1, kMaxAffinityCells + 1}), 0.5));
}

}  // namespace
}  // namespace ovdiff::engine
