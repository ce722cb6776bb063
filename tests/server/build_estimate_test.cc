#include "server/build_estimate.h"

#include "gtest/gtest.h"

namespace ovdiff::server {
namespace {

engine::BuildProgress Report(engine::BuildStage stage, int pictures_done,
                             int64_t steps_done) {
  engine::BuildProgress progress;
  progress.stage = stage;
  progress.pictures_done = pictures_done;
  progress.num_pictures = 32;
  progress.steps_done = steps_done;
  progress.num_steps = 960;
  return progress;
}

// The painter decodes each batch before it begins the next.
TEST(BuildEstimateTest, ADecodedBatchIsNotAPaintedClass) {
  BuildEstimate estimate(absl::UnixEpoch(), /*has_pictures=*/false);
  const absl::Time now = absl::UnixEpoch() + absl::Seconds(10);
  const auto decoded =
      estimate.Update(Report(engine::BuildStage::kDecoding, 8, 240), now);
  EXPECT_EQ(decoded.stage(), v1::CLASS_STAGE_PAINTING);
  EXPECT_NEAR(decoded.fraction_done(), 0.9 / 4, 1e-9);
  EXPECT_NEAR(decoded.remaining_seconds(), 10 * (1 - 0.225) / 0.225, 1e-6);
  const auto painting =
      estimate.Update(Report(engine::BuildStage::kPainting, 8, 480), now);
  EXPECT_EQ(painting.stage(), v1::CLASS_STAGE_PAINTING);
  EXPECT_NEAR(painting.fraction_done(), 0.9 / 2, 1e-9);
  const auto encoding =
      estimate.Update(Report(engine::BuildStage::kEncoding, 0, 960), now);
  EXPECT_EQ(encoding.stage(), v1::CLASS_STAGE_ENCODING);
  EXPECT_NEAR(encoding.fraction_done(), 0.9, 1e-9);
}

TEST(BuildEstimateTest, StoredPicturesLeaveOnlyEncoding) {
  BuildEstimate estimate(absl::UnixEpoch(), /*has_pictures=*/true);
  const auto half =
      estimate.Update(Report(engine::BuildStage::kEncoding, 16, 0),
                      absl::UnixEpoch() + absl::Seconds(1));
  EXPECT_NEAR(half.fraction_done(), 0.4, 1e-9);
}

}  // namespace
}  // namespace ovdiff::server
