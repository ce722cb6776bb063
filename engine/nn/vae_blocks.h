// The autoencoder's blocks: no time embedding, self-attention in the middle
// only (diffusers models/unets/unet_2d_blocks.py, 0.42).
#ifndef OVDIFF_ENGINE_NN_VAE_BLOCKS_H_
#define OVDIFF_ENGINE_NN_VAE_BLOCKS_H_

#include <cstdint>
#include <vector>

#include "engine/nn/attention.h"
#include "engine/nn/resnet_2d.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct VaeBlockOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t num_layers = 1;
  bool add_sampler = true;
  int64_t downsample_padding = 0;
  int64_t resnet_groups = 32;
  double resnet_eps = 1e-6;
};

class DownEncoderBlock2DImpl : public torch::nn::Module {
 public:
  explicit DownEncoderBlock2DImpl(const VaeBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // -> [B, out, H/2, W/2]

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList downsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  Downsample2D downsampler_{nullptr};
};
TORCH_MODULE(DownEncoderBlock2D);

class UpDecoderBlock2DImpl : public torch::nn::Module {
 public:
  explicit UpDecoderBlock2DImpl(const VaeBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // -> [B, out, 2H, 2W]

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList upsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  Upsample2D upsampler_{nullptr};
};
TORCH_MODULE(UpDecoderBlock2D);

struct UNetMidBlock2DOptions {
  int64_t in_channels = 0;
  int64_t temb_channels = 0;  // 0 in the VAE
  bool add_attention = true;
  int64_t attention_heads = 1;
  int64_t resnet_groups = 32;
  double resnet_eps = 1e-6;
};

class UNetMidBlock2DImpl : public torch::nn::Module {
 public:
  explicit UNetMidBlock2DImpl(const UNetMidBlock2DOptions& options);
  // x [B, C, H, W] -> same; `temb_act` as in ResnetBlock2D.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& temb_act);

  torch::nn::ModuleList attentions{nullptr};
  torch::nn::ModuleList resnets{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  Attention attention_{nullptr};
};
TORCH_MODULE(UNetMidBlock2D);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_VAE_BLOCKS_H_
