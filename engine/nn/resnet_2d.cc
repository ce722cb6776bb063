#include "engine/nn/resnet_2d.h"

#include <optional>

namespace ovdiff::engine {
namespace {

torch::nn::GroupNorm MakeGroupNorm(int64_t groups, int64_t channels,
                                   double eps) {
  return torch::nn::GroupNorm(
      torch::nn::GroupNormOptions(groups, channels).eps(eps));
}

torch::nn::Conv2d MakeConv(int64_t in, int64_t out, int64_t kernel,
                           int64_t padding, int64_t stride = 1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .padding(padding)
                               .stride(stride));
}

torch::Tensor NormSilu(torch::nn::GroupNorm& norm, const torch::Tensor& x) {
  torch::Tensor h = norm(x);
  return torch::silu_(h);
}

}  // namespace

ResnetBlock2DImpl::ResnetBlock2DImpl(const ResnetBlock2DOptions& o) {
  norm1 =
      register_module("norm1", MakeGroupNorm(o.groups, o.in_channels, o.eps));
  conv1 =
      register_module("conv1", MakeConv(o.in_channels, o.out_channels, 3, 1));
  if (o.temb_channels > 0) {
    time_emb_proj = register_module(
        "time_emb_proj", torch::nn::Linear(o.temb_channels, o.out_channels));
  }
  norm2 =
      register_module("norm2", MakeGroupNorm(o.groups, o.out_channels, o.eps));
  conv2 =
      register_module("conv2", MakeConv(o.out_channels, o.out_channels, 3, 1));
  if (o.conv_shortcut || o.in_channels != o.out_channels) {
    conv_shortcut = register_module(
        "conv_shortcut", MakeConv(o.in_channels, o.out_channels, 1, 0));
  }
}

torch::Tensor ResnetBlock2DImpl::forward(const torch::Tensor& x,
                                         const torch::Tensor& temb_act) {
  torch::Tensor h = conv1(NormSilu(norm1, x));  // [B, out, H, W]
  if (!time_emb_proj.is_empty()) {
    h.add_(time_emb_proj(temb_act).unsqueeze(-1).unsqueeze(-1));
  }
  h = conv2(NormSilu(norm2, h));
  return h.add_(conv_shortcut.is_empty() ? x : conv_shortcut(x));
}

Downsample2DImpl::Downsample2DImpl(int64_t channels, int64_t padding)
    : padding_(padding) {
  conv = register_module("conv", MakeConv(channels, channels, 3, padding, 2));
}

torch::Tensor Downsample2DImpl::forward(const torch::Tensor& x) {
  if (padding_ > 0) return conv(x);
  return conv(torch::constant_pad_nd(x, {0, 1, 0, 1}));
}

torch::Tensor UpsampleNearest(const torch::Tensor& x, int64_t height,
                              int64_t width) {
  return torch::upsample_nearest2d(x, {height, width}, std::nullopt,
                                   std::nullopt);
}

Upsample2DImpl::Upsample2DImpl(int64_t channels) {
  conv = register_module("conv", MakeConv(channels, channels, 3, 1));
}

torch::Tensor Upsample2DImpl::forward(const torch::Tensor& x, int64_t height,
                                      int64_t width) {
  return conv(UpsampleNearest(x, height, width));
}

}  // namespace ovdiff::engine
