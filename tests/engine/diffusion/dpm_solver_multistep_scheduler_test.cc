#include "engine/diffusion/dpm_solver_multistep_scheduler.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

NoiseScheduleConfig StableDiffusionConfig() {
  NoiseScheduleConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  return config;
}

DpmSolverMultistepScheduler MakeScheduler(const NoiseScheduleConfig& config,
                                          const DpmSolverOptions& options) {
  auto schedule = NoiseSchedule::Create(config);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  auto scheduler =
      DpmSolverMultistepScheduler::Create(*std::move(schedule), options);
  EXPECT_TRUE(scheduler.ok()) << scheduler.status();
  return *std::move(scheduler);
}

// diffusers' weight-free test: sample arange(768) / 768, "model" x * t / (t+1).
double MeanOfFullLoop(DpmSolverRun run) {
  torch::Tensor x = torch::arange(768, torch::kFloat32).div(768);
  while (!run.done()) {
    const double t = static_cast<double>(run.timestep());
    x = run.Step(x * (t / (t + 1)), x);
  }
  return x.abs().mean().item<double>();
}

// networks.md 1.10, published in diffusers' tests.
TEST(DpmSolverMultistepScheduler, PublishedFullLoopToSigmaMin) {
  DpmSolverOptions options;
  options.lower_order_final = false;
  const auto scheduler = MakeScheduler(NoiseScheduleConfig(), options);
  EXPECT_NEAR(MeanOfFullLoop(*scheduler.NewRun(10)), 0.3301, 1e-4);
}

TEST(DpmSolverMultistepScheduler, DerivedFullLoopToZero) {
  DpmSolverOptions options;
  options.final_sigmas_type = "zero";
  const auto scheduler = MakeScheduler(NoiseScheduleConfig(), options);
  EXPECT_NEAR(MeanOfFullLoop(*scheduler.NewRun(10)), 0.2409, 1e-4);
}

// The sixteenth is 499: numpy's linspace multiplies 15 by the rounded width
// 33.3 and falls short of 499.5, as diffusers 0.42 shows; the table in
// networks.md 1.10 rounds the exact 499.5 to 500.
TEST(DpmSolverMultistepScheduler, TimestepsOfOvdiff) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  EXPECT_THAT(scheduler.NewRun(30)->timesteps(),
              ElementsAre(999, 966, 932, 899, 866, 832, 799, 766, 733, 699, 666,
                          633, 599, 566, 533, 499, 466, 433, 400, 366, 333, 300,
                          266, 233, 200, 166, 133, 100, 67, 33));
}

// Coefficients of sample and predictions in networks.md 1.10, read off a run
// whose model output is made so that m0 is a known number.
TEST(DpmSolverMultistepScheduler, PublishedCoefficients) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  const auto step_with = [&](DpmSolverRun& run, double sample, double m0) {
    const double alpha = scheduler.schedule().alpha_cumprod(run.timestep());
    const double output =
        (sample - std::sqrt(alpha) * m0) / std::sqrt(1 - alpha);
    return run.Step(torch::full({1}, output), torch::full({1}, sample))
        .item<double>();
  };
  {
    DpmSolverRun run = *scheduler.NewRun(30);
    EXPECT_NEAR(step_with(run, 1, 0), 0.9988860699, 3e-6);
  }
  {
    DpmSolverRun run = *scheduler.NewRun(30);
    EXPECT_NEAR(step_with(run, 0, 1), 0.0147348374, 3e-6);
    EXPECT_NEAR(step_with(run, 0, 0), -0.0086100902, 3e-6);
  }
  DpmSolverRun run = *scheduler.NewRun(30);
  for (int i = 0; i < 28; ++i) step_with(run, 0, 0);
  step_with(run, 0, 1);  // becomes m1 of the last step
  EXPECT_NEAR(step_with(run, 1, 1), 0.1652331687 + 2.7324807594 - 1.8955465582,
              3e-6);
  EXPECT_TRUE(run.done());
}

TEST(DpmSolverMultistepScheduler, RunsInterleave) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  torch::manual_seed(3);
  const std::vector<torch::Tensor> starts = {torch::randn({2, 3}),
                                             torch::randn({2, 3})};
  const auto predict = [](const torch::Tensor& x) { return torch::tanh(x); };
  std::vector<torch::Tensor> alone;
  for (const torch::Tensor& start : starts) {
    DpmSolverRun run = *scheduler.NewRun(7);
    torch::Tensor x = start;
    while (!run.done()) x = run.Step(predict(x), x);
    alone.push_back(x);
  }
  std::vector<DpmSolverRun> runs = {*scheduler.NewRun(7), *scheduler.NewRun(7)};
  std::vector<torch::Tensor> x = starts;
  for (int step = 0; step < 7; ++step) {
    for (size_t i : {1, 0}) x[i] = runs[i].Step(predict(x[i]), x[i]);
  }
  EXPECT_TRUE(torch::equal(x[0], alone[0]));
  EXPECT_TRUE(torch::equal(x[1], alone[1]));
}

TEST(DpmSolverMultistepScheduler, HalfPrecisionInputsStayFloatInside) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  DpmSolverRun run = *scheduler.NewRun(5);
  const torch::Tensor x = torch::ones({2}, torch::kHalf);
  const torch::Tensor next = run.Step(x, x);
  EXPECT_EQ(next.scalar_type(), torch::kFloat32);
  EXPECT_EQ(run.step_index(), 1);
}

TEST(DpmSolverMultistepScheduler, RefusesTooManyOrTooFewSteps) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  for (int64_t steps : {-1, 0, 1000, 1001}) {
    const auto run = scheduler.NewRun(steps);
    EXPECT_EQ(run.status().code(), absl::StatusCode::kInvalidArgument) << steps;
  }
  EXPECT_TRUE(scheduler.NewRun(500).ok());
  EXPECT_TRUE(scheduler.NewRun(1).ok());
}

TEST(DpmSolverMultistepScheduler, AStepBeyondTheLastIsAProgrammingError) {
  const auto scheduler =
      MakeScheduler(StableDiffusionConfig(), DpmSolverOptions());
  DpmSolverRun run = *scheduler.NewRun(1);
  const torch::Tensor x = torch::ones({2});
  run.Step(x, x);
  EXPECT_THROW(run.Step(x, x), c10::Error);
}

TEST(DpmSolverMultistepScheduler, RefusesUnknownEndPoint) {
  auto schedule = NoiseSchedule::Create(StableDiffusionConfig());
  DpmSolverOptions options;
  options.final_sigmas_type = "clean";
  const auto scheduler =
      DpmSolverMultistepScheduler::Create(*std::move(schedule), options);
  EXPECT_EQ(scheduler.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(scheduler.status().message(), HasSubstr("clean"));
  EXPECT_THAT(scheduler.status().message(), HasSubstr("sigma_min or zero"));
}

}  // namespace
}  // namespace ovdiff::engine
