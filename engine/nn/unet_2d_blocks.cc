#include "engine/nn/unet_2d_blocks.h"

#include <utility>

namespace ovdiff::engine {
namespace {

ResnetBlock2D MakeResnet(const UNetBlockOptions& o, int64_t in_channels,
                         int64_t out_channels) {
  ResnetBlock2DOptions resnet;
  resnet.in_channels = in_channels;
  resnet.out_channels = out_channels;
  resnet.temb_channels = o.temb_channels;
  resnet.groups = o.resnet_groups;
  resnet.eps = o.resnet_eps;
  return ResnetBlock2D(resnet);
}

Transformer2DModel MakeTransformer(const UNetBlockOptions& o,
                                   int64_t channels) {
  Transformer2DOptions transformer;
  transformer.in_channels = channels;
  transformer.num_attention_heads = o.num_attention_heads;
  transformer.num_layers = o.transformer_layers;
  transformer.cross_attention_dim = o.cross_attention_dim;
  transformer.norm_num_groups = o.resnet_groups;
  transformer.use_linear_projection = o.use_linear_projection;
  transformer.upcast_attention = o.upcast_attention;
  return Transformer2DModel(transformer);
}

// Channels into resnet `layer` of an up block: what comes from below, or from
// the layer before, and the skip's. The last skip is the first down layer's.
int64_t UpResnetIn(const UNetBlockOptions& o, int64_t layer) {
  const int64_t skip =
      layer == o.num_layers - 1 ? o.in_channels : o.out_channels;
  return skip + (layer == 0 ? o.prev_output_channels : o.out_channels);
}

torch::Tensor PopSkip(std::vector<torch::Tensor>& skips) {
  TORCH_CHECK(!skips.empty(), "up blocks have more layers than down blocks");
  torch::Tensor skip = std::move(skips.back());
  skips.pop_back();
  return skip;
}

// `upsampler` may be null.
torch::Tensor UpsampleToSkip(Upsample2D& upsampler, torch::Tensor h,
                             const std::vector<torch::Tensor>& skips) {
  if (upsampler.is_empty()) return h;
  const bool has_skip = !skips.empty();
  return upsampler(h, has_skip ? skips.back().size(2) : 2 * h.size(2),
                   has_skip ? skips.back().size(3) : 2 * h.size(3));
}

}  // namespace

DownBlock2DImpl::DownBlock2DImpl(const UNetBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(
        MakeResnet(o, i == 0 ? o.in_channels : o.out_channels, o.out_channels));
    resnets->push_back(resnets_.back());
  }
  if (!o.add_sampler) return;
  downsampler_ = Downsample2D(o.out_channels, o.downsample_padding);
  downsamplers = register_module("downsamplers", torch::nn::ModuleList());
  downsamplers->push_back(downsampler_);
}

torch::Tensor DownBlock2DImpl::forward(const torch::Tensor& x,
                                       const UNetStep& step,
                                       std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : resnets_) {
    h = resnet(h, step.temb_act);  // [B, out, H, W]
    skips.push_back(h);
  }
  if (downsampler_.is_empty()) return h;
  h = downsampler_(h);  // [B, out, H/2, W/2]
  skips.push_back(h);
  return h;
}

CrossAttnDownBlock2DImpl::CrossAttnDownBlock2DImpl(const UNetBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  attentions = register_module("attentions", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(
        MakeResnet(o, i == 0 ? o.in_channels : o.out_channels, o.out_channels));
    resnets->push_back(resnets_.back());
    attentions_.push_back(MakeTransformer(o, o.out_channels));
    attentions->push_back(attentions_.back());
  }
  if (!o.add_sampler) return;
  downsampler_ = Downsample2D(o.out_channels, o.downsample_padding);
  downsamplers = register_module("downsamplers", torch::nn::ModuleList());
  downsamplers->push_back(downsampler_);
}

torch::Tensor CrossAttnDownBlock2DImpl::forward(
    const torch::Tensor& x, const UNetStep& step,
    std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (size_t i = 0; i < resnets_.size(); ++i) {
    h = resnets_[i](h, step.temb_act);  // [B, out, H, W]
    h = attentions_[i](h, step.context, step.probe);
    if (!h.defined()) return {};
    skips.push_back(h);
  }
  if (downsampler_.is_empty()) return h;
  h = downsampler_(h);  // [B, out, H/2, W/2]
  skips.push_back(h);
  return h;
}

UNetMidBlock2DCrossAttnImpl::UNetMidBlock2DCrossAttnImpl(
    const UNetBlockOptions& o) {
  attentions = register_module("attentions", torch::nn::ModuleList());
  resnets = register_module("resnets", torch::nn::ModuleList());
  resnets_.push_back(MakeResnet(o, o.in_channels, o.in_channels));
  resnets->push_back(resnets_.back());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    attentions_.push_back(MakeTransformer(o, o.in_channels));
    attentions->push_back(attentions_.back());
    resnets_.push_back(MakeResnet(o, o.in_channels, o.in_channels));
    resnets->push_back(resnets_.back());
  }
}

torch::Tensor UNetMidBlock2DCrossAttnImpl::forward(const torch::Tensor& x,
                                                   const UNetStep& step) {
  torch::Tensor h = resnets_[0](x, step.temb_act);  // [B, C, H, W]
  for (size_t i = 0; i < attentions_.size(); ++i) {
    h = attentions_[i](h, step.context, step.probe);
    if (!h.defined()) return {};
    h = resnets_[i + 1](h, step.temb_act);
  }
  return h;
}

UpBlock2DImpl::UpBlock2DImpl(const UNetBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(MakeResnet(o, UpResnetIn(o, i), o.out_channels));
    resnets->push_back(resnets_.back());
  }
  if (!o.add_sampler) return;
  upsampler_ = Upsample2D(o.out_channels);
  upsamplers = register_module("upsamplers", torch::nn::ModuleList());
  upsamplers->push_back(upsampler_);
}

torch::Tensor UpBlock2DImpl::forward(const torch::Tensor& x,
                                     const UNetStep& step,
                                     std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : resnets_) {
    h = torch::cat({h, PopSkip(skips)}, 1);  // [B, hidden + skip, H, W]
    h = resnet(h, step.temb_act);            // [B, out, H, W]
  }
  return UpsampleToSkip(upsampler_, h, skips);
}

CrossAttnUpBlock2DImpl::CrossAttnUpBlock2DImpl(const UNetBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  attentions = register_module("attentions", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(MakeResnet(o, UpResnetIn(o, i), o.out_channels));
    resnets->push_back(resnets_.back());
    attentions_.push_back(MakeTransformer(o, o.out_channels));
    attentions->push_back(attentions_.back());
  }
  if (!o.add_sampler) return;
  upsampler_ = Upsample2D(o.out_channels);
  upsamplers = register_module("upsamplers", torch::nn::ModuleList());
  upsamplers->push_back(upsampler_);
}

torch::Tensor CrossAttnUpBlock2DImpl::forward(
    const torch::Tensor& x, const UNetStep& step,
    std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (size_t i = 0; i < resnets_.size(); ++i) {
    h = torch::cat({h, PopSkip(skips)}, 1);  // [B, hidden + skip, H, W]
    h = resnets_[i](h, step.temb_act);       // [B, out, H, W]
    h = attentions_[i](h, step.context, step.probe);
    if (!h.defined()) return {};
  }
  return UpsampleToSkip(upsampler_, h, skips);
}

}  // namespace ovdiff::engine
