// StableDiffusionRunner: the networks of one diffusers pipeline folder, loaded
// once: text encoder, UNet, VAE and noise schedule.
#ifndef OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_RUNNER_H_
#define OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_RUNNER_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/diffusion/ddpm_scheduler.h"
#include "engine/nn/autoencoder_kl.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/unet_2d_condition.h"
#include "engine/runners/attribution_collector.h"
#include "engine/runners/denoising_run.h"
#include "engine/runtime/compute_device.h"
#include "engine/text/clip_tokenizer.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Immutable after Create(). The methods that return tensors throw what torch
// throws and run on the device thread and its lanes only: call them through
// ComputeDevice.
class StableDiffusionRunner {
 public:
  // Errors as the loaders of diffusion_networks.h; kFailedPrecondition also if
  // the parts do not fit each other (widths of text states, latent channels).
  static absl::StatusOr<std::unique_ptr<StableDiffusionRunner>> Create(
      const std::string& folder, const ComputeDevice& device);

  const ClipTokenizer& tokenizer() const { return *tokenizer_; }
  int64_t context_length() const { return context_length_; }  // T
  const std::vector<CrossAttentionLayer>& cross_attention_layers() const {
    return unet_->cross_attention_layers();
  }
  int64_t downscale() const { return vae_->config().downscale(); }
  int64_t latent_channels() const { return vae_->config().latent_channels; }
  const NoiseSchedule& schedule() const { return scheduler_.schedule(); }

  // Text states [1, T, D] of T token ids, in the networks' dtype.
  torch::Tensor EncodeText(const std::vector<int64_t>& ids) const;

  // kInvalidArgument for steps or end point that the schedule cannot do.
  absl::StatusOr<DpmSolverRun> PlanSteps(
      int num_steps, const std::string& final_sigmas_type) const;

  DenoisingRun StartDenoising(const DpmSolverRun& plan,
                              DenoisingInputs inputs) const;

  // Pictures float32 [B, 3, H, W] in 0…1 of latents [B, C, h, w]. The VAE runs
  // in float32 whatever the UNet's dtype: in half it may overflow
  // (networks.md pitfall 7).
  torch::Tensor Decode(const torch::Tensor& latents) const;

  // Scaled latents float32 [B, C, h, w] of pictures [B, 3, H, W] in 0…1:
  // a sample of the VAE's posterior with `noise`, [1, C, h, w] standard normal.
  torch::Tensor Encode(const torch::Tensor& images,
                       const torch::Tensor& noise) const;

  // The same, the mean of the posterior instead of a sample.
  torch::Tensor EncodeMean(const torch::Tensor& images) const;

  // For passes of Attend(): the positions of the class's tokens in the text,
  // and rounds of refinement.
  AttributionCollector NewAttribution(std::vector<int64_t> token_columns,
                                      int rounds) const;

  // Adds to `attribution` what one conditional pass shows of latents [B, C, h,
  // w] with `noise`, [1, C, h, w] standard normal, added to `timestep`, under
  // text states [1, T, D].
  void Attend(const torch::Tensor& latents, const torch::Tensor& noise,
              int64_t timestep, const torch::Tensor& text,
              AttributionCollector* attribution) const;

  // Cross-attention queries, in execution order, of latents [B, C, h, w] with
  // `noise` added to `timestep`, under text states [1, T, D]. The pass ends at
  // the last of `layers` (indices of cross_attention_layers()).
  std::vector<CrossAttentionQueries> Queries(
      const torch::Tensor& latents, const torch::Tensor& noise,
      int64_t timestep, const torch::Tensor& text,
      const std::set<int64_t>& layers) const;

 private:
  StableDiffusionRunner(UNet2DConditionModel unet, AutoencoderKL vae,
                        CLIPTextModel text_encoder, NoiseSchedule schedule,
                        std::unique_ptr<const ClipTokenizer> tokenizer,
                        const ComputeDevice& device);

  // Modules are handles whose forward is not const although it changes nothing.
  mutable UNet2DConditionModel unet_;
  mutable AutoencoderKL vae_;
  mutable CLIPTextModel text_encoder_;
  DdpmScheduler scheduler_;
  std::unique_ptr<const ClipTokenizer> tokenizer_;
  int64_t context_length_;
  torch::Device device_;
  torch::Dtype dtype_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_RUNNER_H_
