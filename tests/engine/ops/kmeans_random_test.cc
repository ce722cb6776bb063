// The draws against numpy 1.26: RandomState(seed).random_sample(), randint(n),
// and searchsorted(cumsum(weights), random_sample(count) * sum(weights)).
#include "engine/ops/kmeans_random.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(KMeansRandomTest, DrawsWhatNumpyDraws) {
  KMeansRandom random(42);
  for (const double value :
       {0x1.7f8771e5f51ecp-2, 0x1.e6c4068bbd654p-1, 0x1.76c7e8f1e6751p-1}) {
    EXPECT_EQ(random.Uniform(), value);
  }
  for (const int64_t value : {60, 20, 82, 86, 74, 74}) {
    EXPECT_EQ(random.Below(100), value);
  }
  for (const int64_t value : {899159, 912756, 175203}) {
    EXPECT_EQ(random.Below(1'000'000), value);
  }
  EXPECT_EQ(random.Below(1), 0);  // Draws nothing: the next is as in numpy.
  EXPECT_EQ(random.Uniform(), 0.14286681792194078);
}

TEST(KMeansRandomTest, SeedsAndRangesGoTo32Bits) {
  KMeansRandom last(4294967295);
  for (const int64_t value : {3, 2, 4, 4, 0, 2, 1, 0}) {
    EXPECT_EQ(last.Below(6), value);
  }
  EXPECT_EQ(last.Uniform(), 0.9695059322147525);
  KMeansRandom seven(7);
  EXPECT_EQ(seven.Below(513), 175);
  EXPECT_EQ(seven.Below(int64_t{1} << 32), 976413892);
  EXPECT_EQ(seven.Below(1 << 20), 573977);
}

TEST(KMeansRandomTest, BothHalvesOfALongSeedCount) {
  const double plain = KMeansRandom(5).Uniform();
  EXPECT_NE(KMeansRandom(5 + (uint64_t{1} << 32)).Uniform(), plain);
  EXPECT_EQ(KMeansRandom(uint64_t{5} << 32).Uniform(), plain);
}

TEST(KMeansRandomTest, IndicesFollowTheirWeights) {
  KMeansRandom random(7);
  const std::vector<float> weights = {0, 1, 0, 3, 2, 0};
  EXPECT_THAT(random.ByWeight(weights, 10),
              ElementsAre(1, 4, 3, 4, 4, 3, 3, 1, 3, 3));
  std::vector<int> counts(weights.size());
  for (const int64_t index : random.ByWeight(weights, 6000)) {
    ++counts[static_cast<size_t>(index)];
  }
  EXPECT_THAT(counts, ElementsAre(0, testing::Gt(900), 0, testing::Gt(2850),
                                  testing::Gt(1850), 0));
}

TEST(KMeansRandomTest, WithoutWeightNothingIsDrawn) {
  KMeansRandom random(42);
  EXPECT_THAT(random.ByWeight(std::vector<float>{0, 0, 0}, 4), IsEmpty());
  EXPECT_EQ(random.Uniform(), KMeansRandom(42).Uniform());
}

}  // namespace
}  // namespace ovdiff::engine
