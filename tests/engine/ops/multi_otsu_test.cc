#include "engine/ops/multi_otsu.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

// otsu_values() of make_goldens.py.
float OtsuValue(const std::string& kind, size_t i, double u) {
  if (kind == "uniform") {
    return static_cast<float>(u);
  }
  if (kind == "cubed") {
    return static_cast<float>(u * u * u);
  }
  if (kind == "three_modes") {
    return static_cast<float>(static_cast<double>(i % 3) * 0.4 + 0.1 * u);
  }
  if (kind == "negative") {
    return static_cast<float>(20.0 * u * u - 15.0);
  }
  if (kind == "few") {
    return static_cast<float>(std::floor(u * 4) / 3);
  }
  return static_cast<float>(std::floor(u * 3) * 0.3);  // exactly_three
}

TEST(MultiOtsuTest, EqualsScikitImage) {
  const nlohmann::json goldens = LoadGoldens();
  for (const nlohmann::json& golden : goldens["otsu"]) {
    SCOPED_TRACE(golden.dump());
    const std::vector<double> draws = Draws(3, golden["n"].get<size_t>());
    std::vector<float> values;
    for (size_t i = 0; i < draws.size(); ++i) {
      values.push_back(OtsuValue(golden["kind"], i, draws[i]));
    }
    const auto result = MultiOtsuThresholds(values, golden["bins"]);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_FLOAT_EQ(result->lower, golden["lower"].get<float>());
    EXPECT_FLOAT_EQ(result->upper, golden["upper"].get<float>());
  }
}

TEST(MultiOtsuTest, NeedsThreeUsedBins) {
  for (const std::vector<float>& values :
       {std::vector<float>{0.5f, 0.5f, 0.5f}, std::vector<float>{0, 1, 0, 1},
        std::vector<float>{0.7f},
        std::vector<float>{0, 1e-4f, 1}}) {  // Two of them in one bin.
    EXPECT_EQ(MultiOtsuThresholds(values, 256).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST(MultiOtsuTest, RefusesBadInput) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> good = {0, 0.5f, 1};
  EXPECT_EQ(MultiOtsuThresholds({}, 256).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MultiOtsuThresholds({0, nan, 1}, 256).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MultiOtsuThresholds(good, 2).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MultiOtsuThresholds(good, 5000).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(MultiOtsuThresholds(good, 3).ok());
}

}  // namespace
}  // namespace ovdiff::engine
