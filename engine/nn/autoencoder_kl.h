// AutoencoderKL: pictures to latents and back (diffusers
// models/autoencoders/autoencoder_kl.py and vae.py, 0.42). Registered names
// equal the checkpoint's; checkpoints from before diffusers 0.18 name the
// middle attention query/key/value/proj_attn (engine/weights/key_map.h).
#ifndef OVDIFF_ENGINE_NN_AUTOENCODER_KL_H_
#define OVDIFF_ENGINE_NN_AUTOENCODER_KL_H_

#include <vector>

#include "engine/nn/autoencoder_kl_config.h"
#include "engine/nn/vae_blocks.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const AutoencoderKLConfig& config);
  torch::Tensor forward(const torch::Tensor& x);  // -> [B, 2 * latent, h, w]

  torch::nn::Conv2d conv_in{nullptr};
  torch::nn::ModuleList down_blocks{nullptr};
  UNetMidBlock2D mid_block{nullptr};
  torch::nn::GroupNorm conv_norm_out{nullptr};
  torch::nn::Conv2d conv_out{nullptr};

 private:
  std::vector<DownEncoderBlock2D> down_blocks_;
};
TORCH_MODULE(Encoder);

class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const AutoencoderKLConfig& config);
  torch::Tensor forward(const torch::Tensor& z);  // -> [B, out_channels, H, W]

  torch::nn::Conv2d conv_in{nullptr};
  torch::nn::ModuleList up_blocks{nullptr};
  UNetMidBlock2D mid_block{nullptr};
  torch::nn::GroupNorm conv_norm_out{nullptr};
  torch::nn::Conv2d conv_out{nullptr};

 private:
  std::vector<UpDecoderBlock2D> up_blocks_;
};
TORCH_MODULE(Decoder);

// A diagonal Gaussian over latents, float32 [B, latent_channels, h, w] each,
// not scaled by scaling_factor.
struct LatentDistribution {
  torch::Tensor mean;
  torch::Tensor logvar;  // within -30 to 20

  // mean + exp(logvar / 2) * noise; `noise` broadcasts.
  torch::Tensor Sample(const torch::Tensor& noise) const;
};

// Thread-compatible: concurrent calls are safe, they change nothing. Call under
// torch::InferenceMode. Throws c10::Error on shapes that do not fit.
class AutoencoderKLImpl : public torch::nn::Module {
 public:
  explicit AutoencoderKLImpl(const AutoencoderKLConfig& config);

  // image: [B, in_channels, H, W], -1 to 1 -> latents of size
  // [H / downscale, W / downscale], rounded down. The denoiser wants
  // scaling_factor times a sample.
  LatentDistribution encode(const torch::Tensor& image);

  // z: [B, latent_channels, h, w], already divided by scaling_factor ->
  // [B, out_channels, h * downscale, w * downscale], about -1 to 1, in the
  // weights' type.
  torch::Tensor decode(const torch::Tensor& z);

  const AutoencoderKLConfig& config() const { return config_; }

  Encoder encoder{nullptr};
  Decoder decoder{nullptr};
  torch::nn::Conv2d quant_conv{nullptr};       // null without use_quant_conv
  torch::nn::Conv2d post_quant_conv{nullptr};  // …without use_post_quant_conv

 private:
  AutoencoderKLConfig config_;
};
TORCH_MODULE(AutoencoderKL);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_AUTOENCODER_KL_H_
