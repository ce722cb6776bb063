// DdpmScheduler: forward noise to a timestep (Ho et al., DDPM, eq. 4).
#ifndef OVDIFF_ENGINE_DIFFUSION_DDPM_SCHEDULER_H_
#define OVDIFF_ENGINE_DIFFUSION_DDPM_SCHEDULER_H_

#include <cstdint>

#include "engine/diffusion/noise_schedule.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Immutable, thread-safe.
class DdpmScheduler {
 public:
  explicit DdpmScheduler(NoiseSchedule schedule);

  // sqrt(a_t) * sample + sqrt(1 - a_t) * noise, in float32 of the broadcast
  // shape. REQUIRES: 0 <= timestep < num_train_timesteps, same device.
  torch::Tensor AddNoise(const torch::Tensor& sample,
                         const torch::Tensor& noise, int64_t timestep) const;

  const NoiseSchedule& schedule() const { return schedule_; }

 private:
  NoiseSchedule schedule_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_DIFFUSION_DDPM_SCHEDULER_H_
