#include "engine/runners/stable_diffusion_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/runners/diffusion_networks.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// The parts come from separate folders: do they fit?
absl::Status CheckFit(const std::string& folder,
                      const UNet2DConditionConfig& unet,
                      const AutoencoderKLConfig& vae,
                      const CLIPTextConfig& text) {
  if (unet.cross_attention_dim != text.hidden_size) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder, ": the unet's cross_attention_dim is ",
        unet.cross_attention_dim, ", the text_encoder's hidden_size ",
        text.hidden_size, "; they must be equal"));
  }
  if (unet.in_channels != vae.latent_channels ||
      unet.out_channels != vae.latent_channels) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder, ": the unet has ", unet.in_channels, " input and ",
        unet.out_channels, " output channels, the vae ", vae.latent_channels,
        " latent channels; they must be equal"));
  }
  if (vae.in_channels != 3 || vae.out_channels != 3) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, ": the vae has ", vae.in_channels, " input and ",
                     vae.out_channels, " output channels; allowed is 3 (RGB)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StableDiffusionRunner>>
StableDiffusionRunner::Create(const std::string& folder,
                              const ComputeDevice& device) {
  OVDIFF_ASSIGN_OR_RETURN(auto tokenizer,
                          ClipTokenizer::Create(folder + "/tokenizer"));
  OVDIFF_ASSIGN_OR_RETURN(NoiseSchedule schedule,
                          LoadNoiseSchedule(folder + "/scheduler"));
  OVDIFF_ASSIGN_OR_RETURN(CLIPTextModel text_encoder,
                          LoadTextEncoder(folder + "/text_encoder",
                                          device.device(), device.dtype()));
  OVDIFF_ASSIGN_OR_RETURN(
      UNet2DConditionModel unet,
      LoadUnet(folder + "/unet", device.device(), device.dtype()));
  OVDIFF_ASSIGN_OR_RETURN(
      AutoencoderKL vae,
      LoadVae(folder + "/vae", device.device(), torch::kFloat32));
  OVDIFF_RETURN_IF_ERROR(
      CheckFit(folder, unet->config(), vae->config(), text_encoder->config()));
  return std::unique_ptr<StableDiffusionRunner>(new StableDiffusionRunner(
      std::move(unet), std::move(vae), std::move(text_encoder),
      std::move(schedule), std::move(tokenizer), device));
}

StableDiffusionRunner::StableDiffusionRunner(
    UNet2DConditionModel unet, AutoencoderKL vae, CLIPTextModel text_encoder,
    NoiseSchedule schedule, std::unique_ptr<const ClipTokenizer> tokenizer,
    const ComputeDevice& device)
    : unet_(std::move(unet)),
      vae_(std::move(vae)),
      text_encoder_(std::move(text_encoder)),
      scheduler_(std::move(schedule)),
      tokenizer_(std::move(tokenizer)),
      context_length_(text_encoder_->config().max_position_embeddings),
      device_(device.device()),
      dtype_(device.dtype()) {}

torch::Tensor StableDiffusionRunner::EncodeText(
    const std::vector<int64_t>& ids) const {
  const torch::Tensor input =
      torch::tensor(ids, torch::kInt64).unsqueeze(0).to(device_);
  return text_encoder_->forward(input);  // [1, T, D]
}

absl::StatusOr<DpmSolverRun> StableDiffusionRunner::PlanSteps(
    int num_steps, const std::string& final_sigmas_type) const {
  OVDIFF_ASSIGN_OR_RETURN(
      const DpmSolverMultistepScheduler solver,
      DpmSolverMultistepScheduler::Create(
          schedule(), {.final_sigmas_type = final_sigmas_type}));
  return solver.NewRun(num_steps);
}

DenoisingRun StableDiffusionRunner::StartDenoising(
    const DpmSolverRun& plan, DenoisingInputs inputs) const {
  inputs.latents = inputs.latents.to(device_);
  return DenoisingRun(unet_, plan, std::move(inputs));
}

torch::Tensor StableDiffusionRunner::Decode(
    const torch::Tensor& latents) const {
  const torch::Tensor images =
      vae_->decode(latents / vae_->config().scaling_factor);
  return (images.to(torch::kFloat32) / 2 + 0.5).clamp(0, 1);
}

torch::Tensor StableDiffusionRunner::Encode(const torch::Tensor& images,
                                            const torch::Tensor& noise) const {
  const LatentDistribution posterior = vae_->encode(images * 2 - 1);
  return posterior.Sample(noise.to(device_)) * vae_->config().scaling_factor;
}

torch::Tensor StableDiffusionRunner::EncodeMean(
    const torch::Tensor& images) const {
  return vae_->encode(images * 2 - 1).mean * vae_->config().scaling_factor;
}

AttributionCollector StableDiffusionRunner::NewAttribution(
    std::vector<int64_t> token_columns, int rounds) const {
  return AttributionCollector(
      static_cast<int64_t>(cross_attention_layers().size()),
      std::move(token_columns), /*first_row=*/0, rounds);
}

void StableDiffusionRunner::Attend(const torch::Tensor& latents,
                                   const torch::Tensor& noise, int64_t timestep,
                                   const torch::Tensor& text,
                                   AttributionCollector* attribution) const {
  const torch::Tensor noisy =
      scheduler_.AddNoise(latents, noise.to(device_), timestep);
  const torch::Tensor step =
      torch::full({1}, timestep, torch::dtype(torch::kInt64).device(device_));
  attribution->Watch([&](const AttentionObserver& observer) {
    unet_->forward(noisy.to(dtype_), step, text, &observer);
  });
}

std::vector<CrossAttentionQueries> StableDiffusionRunner::Queries(
    const torch::Tensor& latents, const torch::Tensor& noise, int64_t timestep,
    const torch::Tensor& text, const std::set<int64_t>& layers) const {
  std::vector<CrossAttentionQueries> queries;
  AttentionObserver observer;
  observer.query_layers = layers;
  observer.last_layer = *layers.rbegin();
  observer.on_queries = [&queries](const CrossAttentionQueries& layer) {
    queries.push_back(layer);
  };
  const torch::Tensor noisy =
      scheduler_.AddNoise(latents, noise.to(device_), timestep);
  const torch::Tensor step =
      torch::full({1}, timestep, torch::dtype(torch::kInt64).device(device_));
  unet_->forward(noisy.to(dtype_), step, text, &observer);
  return queries;
}

}  // namespace ovdiff::engine
