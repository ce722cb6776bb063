// Samplers against diffusers 0.42 on goldens of make_goldens.py: whole runs
// with a "model" that needs no weights, x * t / (t + 1).
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/diffusion/ddpm_scheduler.h"
#include "engine/diffusion/dpm_solver_multistep_scheduler.h"
#include "tests/parity/diffusers/goldens.h"

namespace ovdiff::engine {
namespace {

// Float rounding over up to fifty steps. A single step from almost pure noise
// divides a small difference by sqrt(alpha) = 0.07, and rounding with it.
constexpr double kRelative = 2e-5;
constexpr double kRelativeOfOneStep = 1e-4;

class SchedulerParity : public ::testing::Test {
 protected:
  void SetUp() override {
    io_ = ReadTensors(DiffusersGolden("goldens/schedulers.safetensors"));
    const auto config = NoiseScheduleConfig::FromJsonText(
        ReadText(DiffusersGolden("configs/sd15_scheduler.json")));
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = *config;
  }

  // Compares one whole run; `name` is the key of the golden.
  void ExpectRun(const std::string& name, const NoiseScheduleConfig& config,
                 const std::string& final_sigmas_type, int64_t steps) {
    auto schedule = NoiseSchedule::Create(config);
    ASSERT_TRUE(schedule.ok()) << schedule.status();
    DpmSolverOptions options;
    options.final_sigmas_type = final_sigmas_type;
    const auto scheduler =
        DpmSolverMultistepScheduler::Create(*std::move(schedule), options);
    ASSERT_TRUE(scheduler.ok()) << scheduler.status();
    auto run = scheduler->NewRun(steps);
    ASSERT_TRUE(run.ok()) << name << ": " << run.status();
    const torch::Tensor timesteps = torch::tensor(run->timesteps());
    ASSERT_TRUE(torch::equal(timesteps, io_.at(name + ".timesteps")))
        << name << ": " << timesteps;
    torch::Tensor x = io_.at("start");
    while (!run->done()) {
      const double t = static_cast<double>(run->timestep());
      x = run->Step(x * (t / (t + 1)), x);
    }
    EXPECT_LT(RelativeError(x, io_.at(name)),
              steps == 1 ? kRelativeOfOneStep : kRelative)
        << name;
  }

  torch::InferenceMode inference_;
  StateDict io_;
  NoiseScheduleConfig config_;
};

TEST_F(SchedulerParity, AlphasCumprod) {
  const auto schedule = NoiseSchedule::Create(config_);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  std::vector<double> alphas;
  for (int64_t t = 0; t < schedule->num_train_timesteps(); ++t) {
    alphas.push_back(schedule->alpha_cumprod(t));
  }
  const torch::Tensor ours = torch::tensor(alphas, torch::kFloat64);
  const torch::Tensor ratio =
      ours / io_.at("alphas_cumprod").to(torch::kFloat64);
  EXPECT_LT((ratio - 1).abs().max().item<double>(), 1e-6);
}

TEST_F(SchedulerParity, WholeRuns) {
  int runs = 0;
  for (const std::string final_type : {"sigma_min", "zero"}) {
    for (const std::string prediction : {"epsilon", "v_prediction"}) {
      for (const std::string spacing : {"linspace", "leading", "trailing"}) {
        for (int64_t steps : {1, 10, 15, 30, 50}) {
          NoiseScheduleConfig config = config_;
          config.prediction_type = prediction;
          config.timestep_spacing = spacing;
          ExpectRun(absl::StrCat(final_type, ".", prediction, ".", spacing, ".",
                                 steps),
                    config, final_type, steps);
          ++runs;
        }
      }
    }
  }
  EXPECT_EQ(runs, 60);
}

TEST_F(SchedulerParity, AddNoise) {
  auto schedule = NoiseSchedule::Create(config_);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  const DdpmScheduler scheduler(*std::move(schedule));
  for (int64_t t : {0, 200, 261, 999}) {
    EXPECT_LT(
        RelativeError(scheduler.AddNoise(io_.at("start"), io_.at("noise"), t),
                      io_.at(absl::StrCat("add_noise.", t))),
        1e-6)
        << t;
  }
}

}  // namespace
}  // namespace ovdiff::engine
