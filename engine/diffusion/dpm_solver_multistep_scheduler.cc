#include "engine/diffusion/dpm_solver_multistep_scheduler.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

constexpr size_t kLowerOrderBelow = 15;

// alpha, sigma and lambda = ln(alpha / sigma) at one noise level.
struct Level {
  explicit Level(double alpha_cumprod)
      : alpha(std::sqrt(alpha_cumprod)),
        sigma(std::sqrt(1.0 - alpha_cumprod)),
        lambda(std::log(alpha) - std::log(sigma)) {}

  double alpha;
  double sigma;
  double lambda;  // infinite without noise
};

}  // namespace

DpmSolverRun::DpmSolverRun(
    std::shared_ptr<const std::vector<StepCoefficients>> steps)
    : steps_(std::move(steps)) {}

std::vector<int64_t> DpmSolverRun::timesteps() const {
  std::vector<int64_t> all;
  for (const StepCoefficients& step : *steps_) all.push_back(step.timestep);
  return all;
}

torch::Tensor DpmSolverRun::Step(const torch::Tensor& model_output,
                                 const torch::Tensor& sample) {
  TORCH_CHECK(!done(), "all ", num_steps(), " steps are done");
  const StepCoefficients& c = step();
  const torch::Tensor x = sample.to(torch::kFloat32);
  torch::Tensor m0 = x * c.x0_from_sample;
  m0.add_(model_output.to(torch::kFloat32), c.x0_from_output);
  torch::Tensor next = x * c.from_sample;
  next.add_(m0, c.from_m0);
  if (c.from_m1 != 0.0) next.add_(m1_, c.from_m1);
  m1_ = std::move(m0);
  ++step_index_;
  return next;
}

DpmSolverMultistepScheduler::DpmSolverMultistepScheduler(
    NoiseSchedule schedule, DpmSolverOptions options)
    : schedule_(std::move(schedule)), options_(std::move(options)) {}

absl::StatusOr<DpmSolverMultistepScheduler> DpmSolverMultistepScheduler::Create(
    NoiseSchedule schedule, const DpmSolverOptions& options) {
  if (options.final_sigmas_type != "sigma_min" &&
      options.final_sigmas_type != "zero") {
    return absl::InvalidArgumentError(
        absl::StrCat("final_sigmas_type is \"", options.final_sigmas_type,
                     "\", allowed is sigma_min or zero"));
  }
  const std::string& prediction = schedule.config().prediction_type;
  if (prediction != "epsilon" && prediction != "v_prediction") {
    return absl::InvalidArgumentError(
        absl::StrCat("prediction_type is \"", prediction,
                     "\", allowed is epsilon or v_prediction"));
  }
  return DpmSolverMultistepScheduler(std::move(schedule), options);
}

// diffusers' formulas; std::nearbyint rounds half to even, as numpy does.
absl::StatusOr<std::vector<int64_t>> DpmSolverMultistepScheduler::Timesteps(
    int64_t steps) const {
  const NoiseScheduleConfig& config = schedule_.config();
  const int64_t total = schedule_.num_train_timesteps();
  if (steps < 1 || steps > total) {
    return absl::InvalidArgumentError(absl::StrCat(
        "number of denoising steps is ", steps, ", allowed is 1 to ", total));
  }
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    double t = 0;
    if (config.timestep_spacing == "linspace") {
      const double width = static_cast<double>(total - 1) / steps;
      t = width * static_cast<double>(steps - i);
    } else if (config.timestep_spacing == "leading") {
      t = static_cast<double>(total / (steps + 1) * (steps - i) +
                              config.steps_offset);
    } else {  // trailing
      t = std::nearbyint(total - i * (static_cast<double>(total) / steps)) - 1;
    }
    timesteps.push_back(static_cast<int64_t>(std::nearbyint(t)));
    const bool repeats = i > 0 && timesteps[i] >= timesteps[i - 1];
    if (repeats || timesteps[i] < 0 || timesteps[i] >= total) {
      return absl::InvalidArgumentError(
          absl::StrCat(steps, " denoising steps do not fit into ", total,
                       " training steps with ", config.timestep_spacing,
                       " spacing; ask for fewer"));
    }
  }
  return timesteps;
}

DpmSolverRun::StepCoefficients DpmSolverMultistepScheduler::Coefficients(
    const std::vector<int64_t>& timesteps, size_t index) const {
  const bool is_last = index + 1 == timesteps.size();
  const bool ends_clean = is_last && options_.final_sigmas_type == "zero";
  const Level from(schedule_.alpha_cumprod(timesteps[index]));
  const Level to(
      ends_clean ? 1.0
                 : schedule_.alpha_cumprod(is_last ? 0 : timesteps[index + 1]));
  DpmSolverRun::StepCoefficients c;
  c.timestep = timesteps[index];
  if (schedule_.config().prediction_type == "epsilon") {
    c.x0_from_sample = 1.0 / from.alpha;
    c.x0_from_output = -from.sigma / from.alpha;
  } else {
    c.x0_from_sample = from.alpha;
    c.x0_from_output = -from.sigma;
  }
  const double h = to.lambda - from.lambda;
  const double toward_x0 = -to.alpha * std::expm1(-h);
  c.from_sample = to.sigma / from.sigma;
  c.from_m0 = toward_x0;
  const bool first_order = index == 0 || ends_clean ||
                           (is_last && options_.lower_order_final &&
                            timesteps.size() < kLowerOrderBelow);
  if (first_order) return c;
  // Second order: m0 corrected by half its slope since the last step.
  const Level before(schedule_.alpha_cumprod(timesteps[index - 1]));
  const double r = (from.lambda - before.lambda) / h;
  c.from_m0 += toward_x0 / (2.0 * r);
  c.from_m1 = -toward_x0 / (2.0 * r);
  return c;
}

absl::StatusOr<DpmSolverRun> DpmSolverMultistepScheduler::NewRun(
    int64_t num_inference_steps) const {
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<int64_t> timesteps,
                          Timesteps(num_inference_steps));
  auto steps = std::make_shared<std::vector<DpmSolverRun::StepCoefficients>>();
  for (size_t i = 0; i < timesteps.size(); ++i) {
    steps->push_back(Coefficients(timesteps, i));
  }
  return DpmSolverRun(std::move(steps));
}

}  // namespace ovdiff::engine
