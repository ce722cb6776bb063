#include "engine/diffusion/ddpm_scheduler.h"

#include <cmath>
#include <utility>

namespace ovdiff::engine {

DdpmScheduler::DdpmScheduler(NoiseSchedule schedule)
    : schedule_(std::move(schedule)) {}

torch::Tensor DdpmScheduler::AddNoise(const torch::Tensor& sample,
                                      const torch::Tensor& noise,
                                      int64_t timestep) const {
  TORCH_CHECK(timestep >= 0 && timestep < schedule_.num_train_timesteps(),
              "timestep ", timestep, ", allowed is 0 to ",
              schedule_.num_train_timesteps() - 1);
  const double alpha = schedule_.alpha_cumprod(timestep);
  return sample.to(torch::kFloat32) * std::sqrt(alpha) +
         noise.to(torch::kFloat32) * std::sqrt(1.0 - alpha);
}

}  // namespace ovdiff::engine
