// DpmSolverMultistepScheduler: DPM-Solver++(2M), midpoint, data prediction (Lu
// et al. 2022, arXiv 2211.01095, algorithm 2), as diffusers' class of this name
// runs it; formulas and goldens in networks.md 1.10.
#ifndef OVDIFF_ENGINE_DIFFUSION_DPM_SOLVER_MULTISTEP_SCHEDULER_H_
#define OVDIFF_ENGINE_DIFFUSION_DPM_SOLVER_MULTISTEP_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/diffusion/noise_schedule.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct DpmSolverOptions {
  // Where the last step ends: "sigma_min" at training step 0, as the version
  // that OVDiff used; "zero" without any noise, as diffusers does now.
  std::string final_sigmas_type = "sigma_min";
  // Below 15 steps the last one is of first order, for stability.
  bool lower_order_final = true;
};

// One sampling run: where it is and the last step's prediction. Runs are
// independent and may interleave. Thread-compatible; copyable; holds no
// reference to its scheduler.
class DpmSolverRun {
 public:
  int64_t num_steps() const { return static_cast<int64_t>(steps_->size()); }
  int64_t step_index() const { return step_index_; }  // next to do, from 0
  bool done() const { return step_index_ == num_steps(); }
  // Training timestep of the next step, for the UNet. REQUIRES: !done().
  int64_t timestep() const { return step().timestep; }
  std::vector<int64_t> timesteps() const;  // of all steps

  // Latents after this step, float32 of sample's shape, and goes on to the
  // next. `model_output` is the guided prediction at timestep(), `sample` what
  // the model saw; both are computed on in float32. REQUIRES: !done(), same
  // shape and device in every step.
  torch::Tensor Step(const torch::Tensor& model_output,
                     const torch::Tensor& sample);

 private:
  friend class DpmSolverMultistepScheduler;

  // next = from_sample * sample + from_m0 * m0 + from_m1 * m1, where m0, m1
  // are this and the last step's predictions of the clean latents, and
  // m0 = x0_from_sample * sample + x0_from_output * model_output.
  struct StepCoefficients {
    int64_t timestep = 0;
    double x0_from_sample = 0;
    double x0_from_output = 0;
    double from_sample = 0;
    double from_m0 = 0;
    double from_m1 = 0;
  };

  explicit DpmSolverRun(
      std::shared_ptr<const std::vector<StepCoefficients>> steps);
  const StepCoefficients& step() const {
    return (*steps_)[static_cast<size_t>(step_index_)];
  }

  std::shared_ptr<const std::vector<StepCoefficients>> steps_;
  int64_t step_index_ = 0;
  torch::Tensor m1_;  // last step's m0; undefined before the first step
};

// Immutable, thread-safe. Initial latents are standard normal noise and the
// model's input needs no scaling.
class DpmSolverMultistepScheduler {
 public:
  // kInvalidArgument for an unknown final_sigmas_type or prediction_type.
  static absl::StatusOr<DpmSolverMultistepScheduler> Create(
      NoiseSchedule schedule, const DpmSolverOptions& options);

  // A run of `num_inference_steps`. kInvalidArgument if below 1 or so many that
  // training timesteps would repeat.
  absl::StatusOr<DpmSolverRun> NewRun(int64_t num_inference_steps) const;

  const NoiseSchedule& schedule() const { return schedule_; }

 private:
  DpmSolverMultistepScheduler(NoiseSchedule schedule, DpmSolverOptions options);
  absl::StatusOr<std::vector<int64_t>> Timesteps(int64_t steps) const;
  DpmSolverRun::StepCoefficients Coefficients(
      const std::vector<int64_t>& timesteps, size_t index) const;

  NoiseSchedule schedule_;
  DpmSolverOptions options_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_DIFFUSION_DPM_SOLVER_MULTISTEP_SCHEDULER_H_
