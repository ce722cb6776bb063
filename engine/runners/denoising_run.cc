#include "engine/runners/denoising_run.h"

#include <utility>

#include "torch/torch.h"

namespace ovdiff::engine {

DenoisingRun::DenoisingRun(UNet2DConditionModel unet, DpmSolverRun solver,
                           DenoisingInputs inputs)
    : unet_(std::move(unet)),
      solver_(std::move(solver)),
      inputs_(std::move(inputs)),
      text_(inputs_.unconditional.defined()
                ? torch::cat({inputs_.unconditional, inputs_.conditional})
                : inputs_.conditional),
      attribution_(
          static_cast<int64_t>(unet_->cross_attention_layers().size()),
          inputs_.token_columns,
          inputs_.unconditional.defined() ? inputs_.latents.size(0) : 0,
          inputs_.self_attention_rounds) {}

void DenoisingRun::Step() {
  const bool guided = inputs_.unconditional.defined();
  const torch::Tensor latents = inputs_.latents.to(text_.scalar_type());
  const torch::Tensor rows =
      guided ? torch::cat({latents, latents}) : latents;  // [B or 2B, C, h, w]
  const torch::Tensor timestep =
      torch::full({1}, solver_.timestep(),
                  torch::dtype(torch::kInt64).device(rows.device()));
  torch::Tensor noise;
  attribution_.Watch([&](const AttentionObserver& observer) {
    noise =
        unet_->forward(rows, timestep, text_, &observer).to(torch::kFloat32);
  });
  if (guided) {
    const auto halves = noise.chunk(2);
    noise = halves[0] + inputs_.guidance_scale * (halves[1] - halves[0]);
  }
  inputs_.latents = solver_.Step(noise, inputs_.latents);
}

}  // namespace ovdiff::engine
