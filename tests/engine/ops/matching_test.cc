#include "engine/ops/matching.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

torch::Tensor Vectors(uint32_t seed, int64_t count, int64_t dim) {
  return NormalisedVectors(DrawnTensor(seed, {count, dim}) - 0.5);
}

// Every cell against every vector, in double.
torch::Tensor Reference(const torch::Tensor& features,
                        const std::vector<torch::Tensor>& classes) {
  torch::Tensor cells = features.to(torch::kFloat64).permute({0, 2, 3, 1});
  cells = cells / cells.norm(2, {3}, true);
  std::vector<torch::Tensor> rows;
  for (const torch::Tensor& vectors : classes) {
    rows.push_back(std::get<0>(
        torch::matmul(cells, vectors.to(torch::kFloat64).t()).max(3)));
  }
  return torch::stack(rows, 1).to(torch::kFloat32);
}

TEST(MatchingTest, BestCosineOfEachClass) {
  const torch::Tensor features = DrawnTensor(1, {3, 17, 5, 4}) - 0.4;
  const std::vector<torch::Tensor> classes = {
      Vectors(2, 1, 17), Vectors(3, 65, 17), Vectors(4, 7, 17)};
  const torch::Tensor scores = MatchClasses(features, classes);
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{3, 3, 5, 4}));
  EXPECT_TRUE(
      torch::allclose(scores, Reference(features, classes), 1e-5, 1e-6));
}

TEST(MatchingTest, APictureAloneEqualsItInABatch) {
  const torch::Tensor features = DrawnTensor(1, {3, 17, 5, 4}) - 0.4;
  const std::vector<torch::Tensor> classes = {Vectors(2, 9, 17),
                                              Vectors(3, 4, 17)};
  const torch::Tensor scores = MatchClasses(features, classes);
  const torch::Tensor alone = MatchClasses(features[1], classes);
  EXPECT_EQ(alone.dim(), 3);
  EXPECT_TRUE(torch::equal(alone, scores[1]));
}

TEST(MatchingTest, ManyVectorsAreMatchedInChunks) {
  // 20,000 x 1,000 similarities are more than a chunk holds.
  const torch::Tensor features = DrawnTensor(1, {1, 3, 40, 25}) - 0.5;
  const std::vector<torch::Tensor> classes = {Vectors(2, 20000, 3)};
  EXPECT_TRUE(torch::allclose(MatchClasses(features, classes),
                              Reference(features, classes), 1e-5, 1e-6));
}

TEST(MatchingTest, LengthsDoNotMatter) {
  const torch::Tensor features = DrawnTensor(1, {8, 3, 3}) - 0.5;
  const std::vector<torch::Tensor> classes = {Vectors(2, 5, 8)};
  EXPECT_TRUE(torch::allclose(MatchClasses(features * 1e6, classes),
                              MatchClasses(features * 1e-6, classes), 1e-4,
                              1e-5));
}

TEST(MatchingTest, ACellEqualToAVectorScoresOne) {
  const torch::Tensor vectors = Vectors(2, 3, 8);
  const torch::Tensor features = (vectors[1] * 3).reshape({8, 1, 1});
  const float score = MatchClasses(features, {vectors}).item<float>();
  EXPECT_NEAR(score, 1, 1e-6);
  EXPECT_LE(score, 1);
}

TEST(MatchingTest, CellsWithoutDirectionScoreZero) {
  torch::Tensor features = DrawnTensor(1, {4, 1, 4}) + 0.1;
  features.select(2, 0).zero_();
  features[1][0][1] = kNan;
  features[2][0][2] = std::numeric_limits<float>::infinity();
  const torch::Tensor scores =
      MatchClasses(features, {torch::full({1, 4}, 0.5f)});
  EXPECT_TRUE(torch::equal(scores.flatten().slice(0, 0, 3), torch::zeros({3})));
  EXPECT_GT(scores[0][0][3].item<float>(), 0.5f);
}

TEST(MatchingTest, AClassWithoutVectorsNeverMatches) {
  const torch::Tensor features = DrawnTensor(1, {4, 2, 2});
  const torch::Tensor scores =
      MatchClasses(features, {torch::empty({0, 4}), Vectors(2, 2, 4)});
  EXPECT_TRUE(torch::equal(scores[0], torch::full({2, 2}, kNoMatch)));
}

TEST(MatchingTest, NoClasses) {
  const torch::Tensor scores = MatchClasses(DrawnTensor(1, {4, 2, 2}), {});
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{0, 2, 2}));
}

TEST(MatchingTest, WrongLengthIsAProgrammingError) {
  EXPECT_THROW(MatchClasses(DrawnTensor(1, {4, 2, 2}), {Vectors(2, 2, 5)}),
               c10::Error);
}

TEST(MatchingTest, HalfFeatures) {
  const torch::Tensor features = DrawnTensor(1, {8, 3, 3}) - 0.5;
  const std::vector<torch::Tensor> classes = {Vectors(2, 5, 8)};
  EXPECT_TRUE(
      torch::allclose(MatchClasses(features.to(torch::kFloat16), classes),
                      MatchClasses(features, classes), 1e-2, 2e-3));
}

TEST(MatchingTest, NormalisedVectorsLeavesOutRowsWithoutDirection) {
  torch::Tensor vectors = DrawnTensor(1, {5, 3}) + 0.1;
  vectors[1].zero_();
  vectors[3][2] = kNan;
  vectors[4].mul_(1e30);  // Its square overflows float32.
  const torch::Tensor unit = NormalisedVectors(vectors);
  ASSERT_EQ(unit.size(0), 3);
  EXPECT_TRUE(torch::allclose(unit.norm(2, {1}), torch::ones({3})));
  EXPECT_TRUE(torch::allclose(unit[0] * vectors[0].norm(), vectors[0]));
  EXPECT_EQ(NormalisedVectors(torch::zeros({2, 3})).size(0), 0);
}

TEST(MatchingTest, BackgroundIsTheBestOfAll) {
  const torch::Tensor features = DrawnTensor(1, {2, 6, 3, 2}) - 0.4;
  const std::vector<torch::Tensor> some = {
      Vectors(2, 3, 6), torch::empty({0, 6}), Vectors(3, 4, 6)};
  const auto background = MatchBackground(features, some);
  ASSERT_TRUE(background.has_value());
  const torch::Tensor expected =
      std::get<0>(MatchClasses(features, {some[0], some[2]}).max(1));
  EXPECT_TRUE(torch::equal(*background, expected));
  const auto alone = MatchBackground(features[0], some);
  ASSERT_TRUE(alone.has_value());
  EXPECT_TRUE(torch::equal(*alone, expected[0]));
}

TEST(MatchingTest, BackgroundWithoutVectorsIsAbsent) {
  const torch::Tensor features = DrawnTensor(1, {6, 3, 2});
  EXPECT_FALSE(MatchBackground(features, {}).has_value());
  EXPECT_FALSE(MatchBackground(features, {torch::empty({0, 6})}).has_value());
}

// query_goldens.json: what numpy says, one pair of vectors at a time.
TEST(MatchingTest, WithoutSimilarLeavesOutWhatIsLikeAnyOther) {
  const nlohmann::json goldens = LoadGoldens("query_goldens.json");
  ASSERT_EQ(goldens["stuff_filter"].size(), 7u);
  for (const auto& golden : goldens["stuff_filter"]) {
    const int64_t dim = golden["dim"];
    const torch::Tensor vectors = Vectors(3, golden["rows"], dim);
    std::vector<torch::Tensor> others;
    for (const int64_t rows : golden["stuff_rows"]) {
      others.push_back(Vectors(100 + others.size(), rows, dim));
    }
    const torch::Tensor kept = torch::tensor(
        golden["kept"].get<std::vector<int64_t>>(), torch::kInt64);
    EXPECT_TRUE(
        torch::equal(WithoutSimilar(vectors, others, golden["threshold"]),
                     vectors.index_select(0, kept)))
        << golden.dump();
  }
}

TEST(MatchingTest, WithoutSimilarKeepsTies) {
  const torch::Tensor vectors =
      NormalisedVectors(torch::tensor({{2.0f, 0.0f}, {3.0f, 4.0f}}));
  const std::vector<torch::Tensor> others = {
      NormalisedVectors(torch::tensor({{1.0f, 0.0f}}))};
  const double tie = vectors[1][0].item<float>();
  EXPECT_TRUE(torch::equal(WithoutSimilar(vectors, others, tie),
                           vectors.narrow(0, 1, 1)));
  EXPECT_EQ(WithoutSimilar(vectors, others, tie - 1e-6).size(0), 0);
  // Equal vectors are above no threshold that is allowed.
  EXPECT_TRUE(
      WithoutSimilar(vectors, others, 1.0).is_same(vectors));  // no copy
}

TEST(MatchingTest, WithoutSimilarTakesEmptyMatrices) {
  const torch::Tensor none = torch::empty({0, 4});
  EXPECT_EQ(WithoutSimilar(none, {Vectors(2, 3, 4)}, 0.5).size(0), 0);
  const torch::Tensor vectors = Vectors(1, 3, 4);
  EXPECT_TRUE(WithoutSimilar(vectors, {none}, -1.0).is_same(vectors));
  EXPECT_TRUE(WithoutSimilar(vectors, {}, -1.0).is_same(vectors));
  EXPECT_THROW(WithoutSimilar(vectors, {Vectors(2, 3, 5)}, 0.5), c10::Error);
}

// What is left out of the vectors is left out of what belongs to them.
TEST(MatchingTest, RowsFollowTheirVectors) {
  torch::Tensor vectors = DrawnTensor(1, {5, 3}) + 0.1;
  vectors[1].zero_();
  torch::Tensor rows;
  EXPECT_EQ(NormalisedVectors(vectors, &rows).size(0), 4);
  EXPECT_TRUE(torch::equal(
      rows, torch::tensor(std::vector<int64_t>{0, 2, 3, 4}, torch::kInt64)));

  const torch::Tensor square = torch::eye(3);
  rows = torch::tensor(std::vector<int64_t>{7, 8, 9}, torch::kInt64);
  EXPECT_EQ(
      WithoutSimilar(square, {square.narrow(0, 1, 1)}, 0.5, &rows).size(0), 2);
  EXPECT_TRUE(torch::equal(
      rows, torch::tensor(std::vector<int64_t>{7, 9}, torch::kInt64)));
  WithoutSimilar(square, {}, 0.5, &rows);
  EXPECT_EQ(rows.size(0), 2);
}

TEST(MatchingTest, WeightedCosinesAreThoseOfSingleVectors) {
  torch::Tensor features = DrawnTensor(1, {17, 5, 4}) - 0.4;
  features.select(1, 2).select(1, 3).zero_();  // A cell without direction.
  torch::Tensor weights = torch::zeros({5, 4});
  weights[0][1] = 0.5f;
  weights[2][3] = 0.25f;
  weights[4][0] = 0.25f;
  const std::vector<torch::Tensor> classes = {
      Vectors(2, 3, 17), torch::empty({0, 17}), Vectors(3, 6, 17)};
  const auto sums = WeightedCosines(features, weights, classes);
  ASSERT_EQ(sums.size(), 3u);
  EXPECT_EQ(sums[1].size(0), 0);
  for (const size_t k : {0, 2}) {
    std::vector<torch::Tensor> alone;
    for (int64_t row = 0; row < classes[k].size(0); ++row) {
      alone.push_back(classes[k].narrow(0, row, 1));
    }
    const torch::Tensor expected =
        (MatchClasses(features, alone) * weights).sum({1, 2});
    EXPECT_TRUE(torch::allclose(sums[k], expected, 1e-5, 1e-6));
  }
  EXPECT_THROW(WeightedCosines(features, torch::zeros({4, 5}), classes),
               c10::Error);
}

}  // namespace
}  // namespace ovdiff::engine
