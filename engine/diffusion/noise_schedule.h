// NoiseSchedule: how much of the picture is left at each training step, from
// the hub's scheduler_config.json.
#ifndef OVDIFF_ENGINE_DIFFUSION_NOISE_SCHEDULE_H_
#define OVDIFF_ENGINE_DIFFUSION_NOISE_SCHEDULE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

// What scheduler_config.json says, whichever scheduler class it names: PNDM,
// DDIM, DDPM and DPM-Solver configs share these keys (networks.md 1.10).
struct NoiseScheduleConfig {
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  std::string beta_schedule = "linear";     // or "scaled_linear"
  std::vector<double> trained_betas;        // if any, these are the betas
  std::string prediction_type = "epsilon";  // or "v_prediction"
  // How a sampler picks its steps: "linspace", "leading" or "trailing".
  std::string timestep_spacing = "linspace";
  int64_t steps_offset = 0;  // of "leading"

  // Parses the file's text. kFailedPrecondition names every key whose value is
  // not implemented, the value and what is allowed; unknown keys are ignored.
  static absl::StatusOr<NoiseScheduleConfig> FromJsonText(
      std::string_view text);
};

// Immutable, thread-safe.
class NoiseSchedule {
 public:
  // kInvalidArgument for a config that FromJsonText would refuse.
  static absl::StatusOr<NoiseSchedule> Create(
      const NoiseScheduleConfig& config);

  const NoiseScheduleConfig& config() const { return config_; }
  int64_t num_train_timesteps() const {
    return static_cast<int64_t>(alphas_cumprod_.size());
  }
  // Share of the picture's variance left at step t, 0 ≤ t <
  // num_train_timesteps(): x_t = sqrt(a) * x_0 + sqrt(1 - a) * noise.
  double alpha_cumprod(int64_t t) const {
    return alphas_cumprod_[static_cast<size_t>(t)];
  }

 private:
  NoiseSchedule(NoiseScheduleConfig config, std::vector<double> alphas_cumprod);

  NoiseScheduleConfig config_;
  std::vector<double>
      alphas_cumprod_;  // computed in float32, as diffusers does
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_DIFFUSION_NOISE_SCHEDULE_H_
