// ResnetBlock2D, Downsample2D and Upsample2D (diffusers models/resnet.py,
// downsampling.py, upsampling.py, 0.42), shared by UNet and VAE.
#ifndef OVDIFF_ENGINE_NN_RESNET_2D_H_
#define OVDIFF_ENGINE_NN_RESNET_2D_H_

#include <cstdint>

#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct ResnetBlock2DOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t temb_channels = 0;  // 0: no time embedding (VAE)
  int64_t groups = 32;
  double eps = 1e-6;
  bool conv_shortcut = false;  // forced; there anyway where in != out
};

class ResnetBlock2DImpl : public torch::nn::Module {
 public:
  explicit ResnetBlock2DImpl(const ResnetBlock2DOptions& options);
  // x [B, in, H, W] -> [B, out, H, W]. `temb_act` is silu(time embedding),
  // [B or 1, temb_channels], the same for all blocks of a step; undefined
  // where temb_channels is 0.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& temb_act);

  torch::nn::GroupNorm norm1{nullptr};
  torch::nn::Conv2d conv1{nullptr};
  torch::nn::Linear time_emb_proj{nullptr};
  torch::nn::GroupNorm norm2{nullptr};
  torch::nn::Conv2d conv2{nullptr};
  torch::nn::Conv2d conv_shortcut{nullptr};
};
TORCH_MODULE(ResnetBlock2D);

// 3x3 convolution of stride 2. `padding` 1 is symmetric; 0 pads one row below
// and one column right first (the VAE's, networks.md 1.9).
class Downsample2DImpl : public torch::nn::Module {
 public:
  Downsample2DImpl(int64_t channels, int64_t padding);
  torch::Tensor forward(const torch::Tensor& x);

  torch::nn::Conv2d conv{nullptr};

 private:
  int64_t padding_;
};
TORCH_MODULE(Downsample2D);

// Nearest neighbour to height x width: [B, C, h, w] -> [B, C, height, width].
torch::Tensor UpsampleNearest(const torch::Tensor& x, int64_t height,
                              int64_t width);

// UpsampleNearest, then a 3x3 convolution.
class Upsample2DImpl : public torch::nn::Module {
 public:
  explicit Upsample2DImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x, int64_t height, int64_t width);

  torch::nn::Conv2d conv{nullptr};
};
TORCH_MODULE(Upsample2D);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_RESNET_2D_H_
