#include "engine/ops/normalized_cut.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr double kWeak = 1e-5;

// The cut of the graph whose links are `links` [n, n], of zeros and ones.
absl::StatusOr<CutVector> Cut(const torch::Tensor& links,
                              const CutOptions& options = {}) {
  const torch::Tensor matrix = links.to(torch::kFloat64);
  const auto multiply = [&](absl::Span<const double> x, absl::Span<double> y) {
    const torch::Tensor product = matrix.mv(torch::tensor(
        std::vector<double>(x.begin(), x.end()), torch::kFloat64));
    std::copy_n(product.data_ptr<double>(), y.size(), y.begin());
  };
  return SecondCutVector(
      {.num_nodes = links.size(0), .weak = kWeak, .links = multiply}, options);
}

// Nodes of each group are linked to each other, and to nobody else.
torch::Tensor Groups(const std::vector<int64_t>& sizes) {
  std::vector<torch::Tensor> blocks;
  for (const int64_t size : sizes) {
    blocks.push_back(torch::ones({size, size}));
  }
  return torch::block_diag(blocks);
}

TEST(NormalizedCutTest, EqualsADenseSolverOnRandomGraphs) {
  for (const int64_t n : {3, 7, 45, 150}) {
    SCOPED_TRACE(n);
    const torch::Tensor upper = (DrawnTensor(1, {n, n}) > 0.5).triu();
    const torch::Tensor links =
        upper.logical_or(upper.t()).logical_or(torch::eye(n, torch::kBool));
    const auto cut = Cut(links);
    ASSERT_TRUE(cut.ok()) << cut.status();
    const torch::Tensor a =
        torch::where(links, torch::ones({n, n}, torch::kFloat64),
                     torch::full({n, n}, kWeak, torch::kFloat64));
    const torch::Tensor degrees = a.sum(1);
    const torch::Tensor root = degrees.rsqrt();
    const auto [values, vectors] =
        torch::linalg_eigh(a * root.unsqueeze(1) * root.unsqueeze(0));
    // One vector, not any of many.
    ASSERT_GT((values[n - 2] - values[n - 3]).item<double>(), 0.01);
    EXPECT_NEAR(cut->eigenvalue, 1 - values[n - 2].item<double>(), 1e-9);
    const torch::Tensor y = torch::tensor(cut->values, torch::kFloat64);
    const torch::Tensor expected = vectors.select(1, n - 2) * root;
    // Up to the sign, which is another test's.
    EXPECT_NEAR((y * degrees).dot(expected).abs().item<double>(), 1, 1e-7);
    EXPECT_NEAR((y * y * degrees).sum().item<double>(), 1, 1e-9);
    EXPECT_NEAR((y * degrees).sum().item<double>(), 0, 1e-6);
  }
}

TEST(NormalizedCutTest, PartsWithoutALinkAreTheTwoSides) {
  const auto cut = Cut(Groups({6, 10}));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_LT(cut->eigenvalue, 1e-4);
  for (int64_t i = 0; i < 16; ++i) {
    // The smaller part has the larger entries, and so the positive ones.
    EXPECT_EQ(cut->values[i] > 0, i < 6) << i;
  }
}

TEST(NormalizedCutTest, TheSignIsTheStrongestNodes) {
  const auto first = Cut(Groups({4, 9}));
  const auto last = Cut(Groups({9, 4}));
  ASSERT_TRUE(first.ok() && last.ok());
  EXPECT_GT(first->values.front(), 0);
  EXPECT_GT(last->values.back(), 0);
  // Both sides equally strong: the first node's.
  const auto even = Cut(Groups({5, 5}));
  ASSERT_TRUE(even.ok());
  EXPECT_GT(even->values.front(), 0);
  EXPECT_LT(even->values.back(), 0);
}

TEST(NormalizedCutTest, EqualGraphsHaveEqualResults) {
  const torch::Tensor links = Groups({7, 20, 12});
  const auto one = Cut(links);
  const auto two = Cut(links);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->values, two->values);
}

TEST(NormalizedCutTest, NothingToCut) {
  EXPECT_EQ(Cut(torch::zeros({0, 0})).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Cut(torch::ones({1, 1})).status().code(),
            absl::StatusCode::kFailedPrecondition);
  for (const int64_t n : {2, 3, 64}) {
    // All alike; and all linked to nothing at all, as zero features are.
    EXPECT_EQ(Cut(torch::ones({n, n})).status().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Cut(torch::zeros({n, n})).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST(NormalizedCutTest, WhatDoesNotSettleIsRefused) {
  // A chain: neighbouring values are close, so one restart cannot tell them.
  const int64_t n = 600;
  const torch::Tensor chain =
      (torch::arange(n).unsqueeze(0) - torch::arange(n).unsqueeze(1)).abs() <=
      1;
  CutOptions options;
  options.max_products = 1;
  const auto cut = Cut(chain, options);
  EXPECT_EQ(cut.status().code(), absl::StatusCode::kAborted) << cut.status();
  EXPECT_TRUE(Cut(chain).ok()) << Cut(chain).status();
}

TEST(NormalizedCutTest, RefusesOptionsOutOfRange) {
  CutOptions options;
  options.tolerance = 0;
  EXPECT_EQ(Cut(Groups({2, 2}), options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options = {};
  options.max_products = 0;
  EXPECT_EQ(Cut(Groups({2, 2}), options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(NormalizedCutTest, StrongestNodeIsTheFirstOfEquals) {
  EXPECT_EQ(StrongestNode(std::vector<double>{1, 3, 3 * (1 + 1e-9), 2}), 1);
  EXPECT_EQ(StrongestNode(std::vector<double>{1, 3, 3.1, 2}), 2);
  EXPECT_EQ(StrongestNode(std::vector<double>{-5, 2}), 1);
}

}  // namespace
}  // namespace ovdiff::engine
