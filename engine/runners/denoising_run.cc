#include "engine/runners/denoising_run.h"

#include <algorithm>
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
                : inputs_.conditional) {}

CrossAttentionObserver DenoisingRun::MakeObserver(
    std::vector<CrossAttentionProbabilities>* seen) const {
  CrossAttentionObserver observer;
  const auto layers = unet_->cross_attention_layers().size();
  for (size_t layer = 0; layer < layers; ++layer) {
    observer.probability_layers.insert(static_cast<int64_t>(layer));
  }
  observer.token_columns = inputs_.token_columns;
  observer.first_row =
      inputs_.unconditional.defined() ? inputs_.latents.size(0) : 0;
  observer.on_probabilities = [seen](const CrossAttentionProbabilities& map) {
    seen->push_back(map);
  };
  return observer;
}

// The maps of a step are held until it ends: the largest grid, to which all
// are resized, is known only then.
void DenoisingRun::Accumulate(
    const std::vector<CrossAttentionProbabilities>& seen) {
  if (attribution_ == nullptr) {
    int64_t height = 1;
    int64_t width = 1;
    for (const CrossAttentionProbabilities& map : seen) {
      height = std::max(height, map.height);
      width = std::max(width, map.width);
    }
    attribution_ = std::make_unique<AttributionAccumulator>(height, width);
  }
  for (const CrossAttentionProbabilities& map : seen) {
    attribution_->Add(map.values, map.height, map.width);
  }
}

void DenoisingRun::Step() {
  std::vector<CrossAttentionProbabilities> seen;
  const CrossAttentionObserver observer = MakeObserver(&seen);
  const bool guided = inputs_.unconditional.defined();
  const torch::Tensor latents = inputs_.latents.to(text_.scalar_type());
  const torch::Tensor rows =
      guided ? torch::cat({latents, latents}) : latents;  // [B or 2B, C, h, w]
  const torch::Tensor timestep =
      torch::full({1}, solver_.timestep(),
                  torch::dtype(torch::kInt64).device(rows.device()));
  torch::Tensor noise =
      unet_->forward(rows, timestep, text_, &observer).to(torch::kFloat32);
  if (guided) {
    const auto halves = noise.chunk(2);
    noise = halves[0] + inputs_.guidance_scale * (halves[1] - halves[0]);
  }
  Accumulate(seen);
  inputs_.latents = solver_.Step(noise, inputs_.latents);
}

torch::Tensor DenoisingRun::Attribution() const {
  TORCH_CHECK(attribution_ != nullptr, "no step was done");
  return attribution_->Finish();
}

}  // namespace ovdiff::engine
