#include "engine/diffusion/noise_schedule.h"

#include <cmath>
#include <utility>

#include "engine/diffusion/ddpm_scheduler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::HasSubstr;

constexpr char kStableDiffusion[] = R"({
  "_class_name": "PNDMScheduler", "num_train_timesteps": 1000,
  "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
  "skip_prk_steps": true, "set_alpha_to_one": false, "steps_offset": 1,
  "trained_betas": null, "clip_sample": false})";

NoiseSchedule MakeSchedule(const char* json) {
  const auto config = NoiseScheduleConfig::FromJsonText(json);
  EXPECT_TRUE(config.ok()) << config.status();
  auto schedule = NoiseSchedule::Create(*config);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *std::move(schedule);
}

// networks.md 1.10.
TEST(NoiseSchedule, PublishedTableOfStableDiffusion) {
  const NoiseSchedule schedule = MakeSchedule(kStableDiffusion);
  const std::pair<int64_t, double> table[] = {
      {0, 0.999150000},   {100, 0.894223478}, {200, 0.753692045},
      {261, 0.655669333}, {500, 0.276332684}, {966, 0.006876342},
      {999, 0.004660099}};
  for (const auto& [t, alpha] : table) {
    EXPECT_NEAR(schedule.alpha_cumprod(t) / alpha, 1.0, 2e-6) << t;
  }
}

TEST(NoiseSchedule, AllSchedulerClassesGiveTheSameBetas) {
  const NoiseSchedule pndm = MakeSchedule(kStableDiffusion);
  const NoiseSchedule dpm = MakeSchedule(R"({
    "_class_name": "DPMSolverMultistepScheduler", "algorithm_type":
    "dpmsolver++", "solver_order": 2, "solver_type": "midpoint",
    "lower_order_final": true, "thresholding": false, "beta_start": 0.00085,
    "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "lambda_min_clipped": -Infinity})");
  EXPECT_EQ(pndm.alpha_cumprod(777), dpm.alpha_cumprod(777));
}

TEST(NoiseSchedule, TrainedBetasWin) {
  const NoiseSchedule schedule = MakeSchedule(
      R"({"trained_betas": [0.5, 0.5, 0.75], "beta_schedule": "linear"})");
  EXPECT_EQ(schedule.num_train_timesteps(), 3);
  EXPECT_DOUBLE_EQ(schedule.alpha_cumprod(0), 0.5);
  EXPECT_DOUBLE_EQ(schedule.alpha_cumprod(2), 0.0625);
}

TEST(NoiseSchedule, RefusesWhatIsNotImplementedAndNamesAllOfIt) {
  const auto config = NoiseScheduleConfig::FromJsonText(
      R"({"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample",
          "use_karras_sigmas": true, "unheard_of": 1})");
  ASSERT_EQ(config.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(config.status().message());
  EXPECT_THAT(message, HasSubstr("\"beta_schedule\" is \"squaredcos_cap_v2\""));
  EXPECT_THAT(message, HasSubstr("linear, scaled_linear"));
  EXPECT_THAT(message, HasSubstr("\"prediction_type\" is \"sample\""));
  EXPECT_THAT(message, HasSubstr("use_karras_sigmas"));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("unheard_of")));
}

TEST(NoiseSchedule, RefusesBetasThatLeaveNothing) {
  NoiseScheduleConfig config;
  config.beta_end = 1.0;
  EXPECT_EQ(NoiseSchedule::Create(config).status().code(),
            absl::StatusCode::kInvalidArgument);
  config.beta_start = config.beta_end = 0.0;
  EXPECT_EQ(NoiseSchedule::Create(config).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(DdpmScheduler, AddsNoiseByTheClosedForm) {
  const DdpmScheduler scheduler(MakeSchedule(kStableDiffusion));
  const torch::Tensor noisy = scheduler.AddNoise(
      torch::full({2}, 3.0, torch::kHalf), torch::full({2}, 5.0), 200);
  EXPECT_EQ(noisy.scalar_type(), torch::kFloat32);
  EXPECT_NEAR(noisy[1].item<double>(), 3 * 0.8681544 + 5 * 0.4962942, 1e-5);
  EXPECT_THROW(scheduler.AddNoise(noisy, noisy, 1000), c10::Error);
  EXPECT_THROW(scheduler.AddNoise(noisy, noisy, -1), c10::Error);
}

}  // namespace
}  // namespace ovdiff::engine
