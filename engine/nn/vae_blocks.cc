#include "engine/nn/vae_blocks.h"

namespace ovdiff::engine {
namespace {

ResnetBlock2D MakeResnet(const VaeBlockOptions& o, int64_t layer) {
  ResnetBlock2DOptions resnet;
  resnet.in_channels = layer == 0 ? o.in_channels : o.out_channels;
  resnet.out_channels = o.out_channels;
  resnet.groups = o.resnet_groups;
  resnet.eps = o.resnet_eps;
  return ResnetBlock2D(resnet);
}

}  // namespace

DownEncoderBlock2DImpl::DownEncoderBlock2DImpl(const VaeBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(MakeResnet(o, i));
    resnets->push_back(resnets_.back());
  }
  if (!o.add_sampler) return;
  downsampler_ = Downsample2D(o.out_channels, o.downsample_padding);
  downsamplers = register_module("downsamplers", torch::nn::ModuleList());
  downsamplers->push_back(downsampler_);
}

torch::Tensor DownEncoderBlock2DImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : resnets_) h = resnet(h, torch::Tensor());
  return downsampler_.is_empty() ? h : downsampler_(h);
}

UpDecoderBlock2DImpl::UpDecoderBlock2DImpl(const VaeBlockOptions& o) {
  resnets = register_module("resnets", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.num_layers; ++i) {
    resnets_.push_back(MakeResnet(o, i));
    resnets->push_back(resnets_.back());
  }
  if (!o.add_sampler) return;
  upsampler_ = Upsample2D(o.out_channels);
  upsamplers = register_module("upsamplers", torch::nn::ModuleList());
  upsamplers->push_back(upsampler_);
}

torch::Tensor UpDecoderBlock2DImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : resnets_) h = resnet(h, torch::Tensor());
  if (upsampler_.is_empty()) return h;
  return upsampler_(h, 2 * h.size(2), 2 * h.size(3));
}

UNetMidBlock2DImpl::UNetMidBlock2DImpl(const UNetMidBlock2DOptions& o) {
  ResnetBlock2DOptions resnet;
  resnet.in_channels = o.in_channels;
  resnet.out_channels = o.in_channels;
  resnet.temb_channels = o.temb_channels;
  resnet.groups = o.resnet_groups;
  resnet.eps = o.resnet_eps;
  attentions = register_module("attentions", torch::nn::ModuleList());
  resnets = register_module("resnets", torch::nn::ModuleList());
  resnets_.emplace_back(resnet);
  if (o.add_attention) {
    AttentionOptions attention;
    attention.query_dim = o.in_channels;
    attention.cross_attention_dim = o.in_channels;
    attention.heads = o.attention_heads;
    attention.bias = true;
    attention.norm_num_groups = o.resnet_groups;
    attention.eps = o.resnet_eps;
    attention_ = Attention(attention);
    attentions->push_back(attention_);
  }
  resnets_.emplace_back(resnet);
  for (ResnetBlock2D& block : resnets_) resnets->push_back(block);
}

torch::Tensor UNetMidBlock2DImpl::forward(const torch::Tensor& x,
                                          const torch::Tensor& temb_act) {
  torch::Tensor h = resnets_[0](x, temb_act);  // [B, C, H, W]
  if (!attention_.is_empty()) h = attention_->forward_map(h);
  return resnets_[1](h, temb_act);
}

}  // namespace ovdiff::engine
