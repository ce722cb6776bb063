#include "engine/ops/kmeans.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

using ::testing::HasSubstr;

// blobs() of make_goldens.py.
torch::Tensor Blobs(uint32_t seed, int64_t n, int64_t d, int64_t groups,
                    double mean) {
  const std::vector<double> noise = Draws(seed, n * d);
  std::vector<float> rows;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < d; ++j) {
      const double corner =
          3.0 * static_cast<double>(((i % groups) >> (j % 3)) & 1);
      rows.push_back(static_cast<float>(mean + corner + noise[i * d + j]));
    }
  }
  return torch::tensor(rows).reshape({n, d});
}

void ExpectConsistent(const torch::Tensor& rows, const KMeansResult& result) {
  const torch::Tensor all =
      torch::cdist(rows.to(torch::kFloat64), result.centres.to(torch::kFloat64))
          .square();
  const torch::Tensor own =
      all.gather(1, result.assignment.unsqueeze(1)).squeeze(1);
  EXPECT_NEAR(result.inertia, own.sum().item<double>(),
              1e-4 * own.sum().item<double>() + 1e-9);
  EXPECT_TRUE((own <= std::get<0>(all.min(1)) + 1e-4).all().item<bool>());
  for (int64_t k = 0; k < result.centres.size(0); ++k) {
    const int64_t row = result.nearest_row[k].item<int64_t>();
    EXPECT_EQ(result.assignment[row].item<int64_t>(), k);
    const torch::Tensor members = own.index({result.assignment == k});
    EXPECT_NEAR(own[row].item<double>(), members.min().item<double>(), 1e-6);
  }
}

TEST(KMeansTest, EqualsScikitLearnFromTheSameStart) {
  const nlohmann::json goldens = LoadGoldens();
  for (const nlohmann::json& golden : goldens["kmeans"]) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const int64_t d = golden["d"];
    const torch::Tensor rows =
        Blobs(7, golden["n"], d, golden["groups"], golden["mean"]);
    const auto result =
        KMeans(rows, {.initial_centres = ToTensor(golden["initial"], {5, d})});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(torch::allclose(
        result->centres, ToTensor(golden["centres"], {5, d}), 1e-5, 1e-4))
        << result->centres;
    EXPECT_TRUE(torch::equal(
        result->assignment,
        torch::tensor(golden["labels"].get<std::vector<int64_t>>())));
    EXPECT_NEAR(result->inertia, golden["inertia"].get<double>(), 2e-2);
    EXPECT_EQ(result->iterations, golden["iterations"].get<int>());
    ExpectConsistent(rows, *result);
  }
}

TEST(KMeansTest, SeedsAsWellAsScikitLearn) {
  const nlohmann::json golden = LoadGoldens()["kmeans_plus_plus"];
  const torch::Tensor rows = Blobs(11, 600, 8, 8, 0);
  std::vector<double> inertia;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto result = KMeans(rows, {.num_clusters = 16, .seed = seed});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->centres.size(0), 16);
    inertia.push_back(result->inertia);
  }
  std::sort(inertia.begin(), inertia.end());
  EXPECT_LT(inertia[10], 1.03 * golden["median_inertia"].get<double>());
  EXPECT_LT(inertia[19], 1.03 * golden["max_inertia"].get<double>());
}

TEST(KMeansTest, EqualsScikitLearnFromTheSameSeed) {
  const nlohmann::json goldens = LoadGoldens("kmeans_goldens.json");
  ASSERT_EQ(goldens["cases"].size(), 5u);
  for (const nlohmann::json& golden : goldens["cases"]) {
    const int64_t n = golden["n"], d = golden["d"], k = golden["k"];
    SCOPED_TRACE(testing::Message() << n << " rows, " << k << " clusters");
    const torch::Tensor rows =
        Blobs(11, n, d, golden["groups"], golden["mean"]);
    const auto result = KMeans(
        rows, {.num_clusters = static_cast<int>(k), .seed = golden["seed"]});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(torch::allclose(
        result->centres, ToTensor(golden["centres"], {k, d}), 1e-5, 1e-4));
    EXPECT_TRUE(torch::equal(
        result->assignment,
        torch::tensor(golden["labels"].get<std::vector<int64_t>>())));
  }
}

TEST(KMeansTest, SameSeedSameResultWithAnyThreads) {
  const torch::Tensor rows = Blobs(13, 500, 40, 8, 5);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = KMeans(rows, {.num_clusters = 7, .seed = 3});
  at::set_num_threads(2);
  const auto two = KMeans(rows, {.num_clusters = 7, .seed = 3});
  at::set_num_threads(threads);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_TRUE(torch::equal(one->assignment, two->assignment));
  EXPECT_TRUE(torch::allclose(one->centres, two->centres, 1e-6, 1e-6));
  const auto other = KMeans(rows, {.num_clusters = 7, .seed = 4});
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(torch::equal(one->assignment, other->assignment));
}

TEST(KMeansTest, ManyChunksEqualOne) {
  // 3000 rows of 2000 floats are six chunks of 4 MiB.
  const torch::Tensor rows = Blobs(17, 3000, 2000, 4, 1);
  const auto result = KMeans(rows, {.num_clusters = 4, .seed = 1});
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectConsistent(rows, *result);
  for (int64_t group = 0; group < 4; ++group) {
    const torch::Tensor mean = rows.slice(0, group, 3000, 4).mean(0);
    const int64_t k = result->assignment[group].item<int64_t>();
    EXPECT_TRUE(torch::allclose(result->centres[k], mean, 1e-5, 1e-4));
  }
}

TEST(KMeansTest, StridedRowsAndSteps) {
  const torch::Tensor wide = Blobs(19, 100, 12, 4, 0);
  const torch::Tensor rows = wide.narrow(1, 2, 6);  // Rows 12 floats apart.
  auto solver = KMeansSolver::Create(rows, {.num_clusters = 4});
  ASSERT_TRUE(solver.ok()) << solver.status();
  int steps = 0;
  while (!(*solver)->done()) {
    ASSERT_TRUE((*solver)->Step().ok());
    ++steps;
  }
  const KMeansResult result = (*solver)->TakeResult();
  EXPECT_EQ(steps, 1 + 4 + result.iterations + 1);
  const auto whole = KMeans(rows.contiguous(), {.num_clusters = 4});
  ASSERT_TRUE(whole.ok());
  EXPECT_TRUE(torch::equal(result.assignment, whole->assignment));
}

TEST(KMeansTest, FewerRowsThanClusters) {
  const torch::Tensor rows = Blobs(23, 5, 3, 1, 0);
  const auto result = KMeans(rows, {.num_clusters = 32});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->centres.size(0), 5);
  EXPECT_EQ(result->inertia, 0);
  ExpectConsistent(rows, *result);
}

TEST(KMeansTest, FewerDistinctRowsThanClusters) {
  // With a mean that rounding makes noise of.
  const torch::Tensor distinct = Blobs(29, 3, 50, 1, 1000);
  const torch::Tensor rows = distinct.repeat({40, 1});
  const auto result = KMeans(rows, {.num_clusters = 8});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->centres.size(0), 3);
}

TEST(KMeansTest, EqualRowsGiveOneCentre) {
  const torch::Tensor rows = torch::full({50, 7}, 1.3f);
  const auto result = KMeans(rows, {.num_clusters = 8});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->centres.size(0), 1);
  EXPECT_TRUE(torch::allclose(result->centres[0], rows[0]));
  EXPECT_EQ(result->assignment.sum().item<int64_t>(), 0);
}

TEST(KMeansTest, OneRow) {
  const auto result = KMeans(torch::full({1, 3}, 2.0f), {.num_clusters = 4});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(torch::equal(result->centres, torch::full({1, 3}, 2.0f)));
}

TEST(KMeansTest, EmptyClustersOfEqualInitialCentresAreDropped) {
  const torch::Tensor rows = torch::full({6, 2}, 4.0f);
  const auto result =
      KMeans(rows, {.initial_centres = torch::full({3, 2}, 4.0f)});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->centres.size(0), 1);
}

TEST(KMeansTest, RefusesRowsThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    torch::Tensor rows = Blobs(31, 20, 3, 2, 0);
    rows[13][1] = bad;
    const auto result = KMeans(rows, {.num_clusters = 2});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("row 13"));
  }
}

TEST(KMeansTest, RefusesWrongShapesAndOptions) {
  const torch::Tensor rows = Blobs(37, 20, 3, 2, 0);
  for (const torch::Tensor& wrong :
       {torch::Tensor(), rows[0], rows.to(torch::kFloat64), rows.t(),
        torch::empty({0, 3})}) {
    EXPECT_EQ(KMeans(wrong, {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  for (const KMeansOptions& wrong :
       {KMeansOptions{.num_clusters = 0}, KMeansOptions{.max_iterations = 0},
        KMeansOptions{.tolerance = -1},
        KMeansOptions{.initial_centres = torch::zeros({2, 4})}}) {
    EXPECT_EQ(KMeans(rows, wrong).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace ovdiff::engine
