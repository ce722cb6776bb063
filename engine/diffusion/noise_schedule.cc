#include "engine/diffusion/noise_schedule.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"
#include "torch/types.h"

namespace ovdiff::engine {
namespace {

constexpr int64_t kMaxTrainTimesteps = 100000;

// Options of newer samplers that change the result and are not implemented.
void RefuseWhatIsNotImplemented(HubConfig& json) {
  for (const char* key :
       {"rescale_betas_zero_snr", "thresholding", "use_karras_sigmas",
        "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
        "use_flow_sigmas", "use_dynamic_shifting"}) {
    json.Only(key, "false");
  }
  json.Only("algorithm_type", "\"dpmsolver++\"");
  json.Only("solver_order", "2");
  json.Only("solver_type", "\"midpoint\"");
  json.Only("euler_at_final", "false");
  json.Only("lower_order_final", "true");
}

torch::Tensor Betas(const NoiseScheduleConfig& c) {
  if (!c.trained_betas.empty()) {
    return torch::tensor(c.trained_betas, torch::kFloat32);
  }
  const auto options = torch::dtype(torch::kFloat32);
  if (c.beta_schedule == "linear") {
    return torch::linspace(c.beta_start, c.beta_end, c.num_train_timesteps,
                           options);
  }
  return torch::linspace(std::sqrt(c.beta_start), std::sqrt(c.beta_end),
                         c.num_train_timesteps, options)
      .square();
}

absl::Status Check(const NoiseScheduleConfig& c) {
  if (c.num_train_timesteps < 2 || c.num_train_timesteps > kMaxTrainTimesteps) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_train_timesteps is ", c.num_train_timesteps,
                     ", allowed is 2 to ", kMaxTrainTimesteps));
  }
  if (!c.trained_betas.empty() &&
      static_cast<int64_t>(c.trained_betas.size()) != c.num_train_timesteps) {
    return absl::InvalidArgumentError(absl::StrCat(
        "trained_betas has ", c.trained_betas.size(),
        " entries, num_train_timesteps is ", c.num_train_timesteps));
  }
  if (c.beta_schedule != "linear" && c.beta_schedule != "scaled_linear") {
    return absl::InvalidArgumentError(
        absl::StrCat("beta_schedule is \"", c.beta_schedule,
                     "\", allowed is linear or scaled_linear"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NoiseScheduleConfig> NoiseScheduleConfig::FromJsonText(
    std::string_view text) {
  OVDIFF_ASSIGN_OR_RETURN(
      HubConfig json,
      HubConfig::Parse(text, "scheduler/scheduler_config.json"));
  NoiseScheduleConfig c;
  RefuseWhatIsNotImplemented(json);
  c.num_train_timesteps = json.Int("num_train_timesteps", c.num_train_timesteps,
                                   2, kMaxTrainTimesteps);
  c.beta_start = json.Number("beta_start", c.beta_start, 0, 1);
  c.beta_end = json.Number("beta_end", c.beta_end, 0, 1);
  c.beta_schedule =
      json.OneOf("beta_schedule", c.beta_schedule, {"linear", "scaled_linear"});
  c.trained_betas = json.Numbers("trained_betas");
  if (!c.trained_betas.empty()) {
    c.num_train_timesteps = static_cast<int64_t>(c.trained_betas.size());
  }
  c.prediction_type = json.OneOf("prediction_type", c.prediction_type,
                                 {"epsilon", "v_prediction"});
  c.timestep_spacing = json.OneOf("timestep_spacing", c.timestep_spacing,
                                  {"linspace", "leading", "trailing"});
  c.steps_offset = json.Int("steps_offset", c.steps_offset, 0, 1000);
  OVDIFF_RETURN_IF_ERROR(json.status());
  return c;
}

absl::StatusOr<NoiseSchedule> NoiseSchedule::Create(
    const NoiseScheduleConfig& config) {
  OVDIFF_RETURN_IF_ERROR(Check(config));
  const torch::Tensor products =
      torch::cumprod(1.0 - Betas(config), 0).to(torch::kFloat64).contiguous();
  const double* begin = products.const_data_ptr<double>();
  std::vector<double> alphas_cumprod(begin, begin + products.numel());
  for (double alpha : alphas_cumprod) {
    if (!(alpha > 0.0 && alpha < 1.0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the betas leave a share of ", alpha,
          " of the picture, allowed is between 0 and 1: check beta_start, "
          "beta_end and trained_betas"));
    }
  }
  return NoiseSchedule(config, std::move(alphas_cumprod));
}

NoiseSchedule::NoiseSchedule(NoiseScheduleConfig config,
                             std::vector<double> alphas_cumprod)
    : config_(std::move(config)), alphas_cumprod_(std::move(alphas_cumprod)) {}

}  // namespace ovdiff::engine
