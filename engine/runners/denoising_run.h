// DenoisingRun: pictures of one prompt on their way from noise to latents, one
// step at a time, with the attribution of the class's tokens.
#ifndef OVDIFF_ENGINE_RUNNERS_DENOISING_RUN_H_
#define OVDIFF_ENGINE_RUNNERS_DENOISING_RUN_H_

#include <cstdint>
#include <vector>

#include "engine/diffusion/dpm_solver_multistep_scheduler.h"
#include "engine/nn/unet_2d_condition.h"
#include "engine/runners/attribution_collector.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct DenoisingInputs {
  torch::Tensor latents;      // float32 [B, C, h, w]: standard normal noise
  torch::Tensor conditional;  // [1, T, D] text states of the prompt
  // [1, T, D] of the negative prompt; undefined: no guidance.
  torch::Tensor unconditional;
  double guidance_scale = 1;
  std::vector<int64_t> token_columns;  // the class's positions in 0…T-1
  int self_attention_rounds = 0;       // that refine the attribution
};

// Thread-compatible; several runs may step at once on different threads.
class DenoisingRun {
 public:
  DenoisingRun(UNet2DConditionModel unet, DpmSolverRun solver,
               DenoisingInputs inputs);

  bool done() const { return solver_.done(); }

  // One UNet call for the B pictures; with guidance on 2B rows, unconditional
  // first. Throws what torch throws. REQUIRES: !done().
  void Step();

  // float32 [B, C, h, w]
  const torch::Tensor& latents() const { return inputs_.latents; }

  // float32 [B, H, W], values >= 0: attribution of the class's tokens, the mean
  // over all cross-attention layers, heads, steps and tokens of the conditional
  // half, refined by self-attention if asked for; H x W is the largest of the
  // layers' maps. REQUIRES: a step was done.
  torch::Tensor Attribution() const { return attribution_.Finish(); }

 private:
  UNet2DConditionModel unet_;
  DpmSolverRun solver_;
  DenoisingInputs inputs_;
  torch::Tensor text_;  // [2, T, D] with guidance, else [1, T, D]
  AttributionCollector attribution_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_DENOISING_RUN_H_
