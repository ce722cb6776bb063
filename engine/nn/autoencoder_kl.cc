#include "engine/nn/autoencoder_kl.h"

namespace ovdiff::engine {
namespace {

// All of the VAE's norms (networks.md 1.5), unlike the UNet's resnets.
constexpr double kVaeEps = 1e-6;

torch::nn::Conv2d MakeConv3x3(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

torch::nn::Conv2d MakeConv1x1(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1));
}

torch::nn::GroupNorm MakeNormOut(const AutoencoderKLConfig& config,
                                 int64_t channels) {
  return torch::nn::GroupNorm(
      torch::nn::GroupNormOptions(config.norm_num_groups, channels)
          .eps(kVaeEps));
}

UNetMidBlock2D MakeMidBlock(const AutoencoderKLConfig& config) {
  UNetMidBlock2DOptions o;
  o.in_channels = config.block_out_channels.back();
  o.add_attention = config.mid_block_add_attention;
  o.resnet_groups = config.norm_num_groups;
  o.resnet_eps = kVaeEps;
  return UNetMidBlock2D(o);
}

VaeBlockOptions MakeBlockOptions(const AutoencoderKLConfig& config) {
  VaeBlockOptions o;
  o.resnet_groups = config.norm_num_groups;
  o.resnet_eps = kVaeEps;
  return o;
}

torch::Tensor NormSiluConv(torch::nn::GroupNorm& norm, torch::nn::Conv2d& conv,
                           const torch::Tensor& x) {
  torch::Tensor h = norm(x);
  return conv(torch::silu_(h));
}

}  // namespace

EncoderImpl::EncoderImpl(const AutoencoderKLConfig& config) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  conv_in = register_module("conv_in",
                            MakeConv3x3(config.in_channels, channels.front()));
  down_blocks = register_module("down_blocks", torch::nn::ModuleList());
  for (size_t i = 0; i < channels.size(); ++i) {
    VaeBlockOptions o = MakeBlockOptions(config);
    o.in_channels = channels[i == 0 ? 0 : i - 1];
    o.out_channels = channels[i];
    o.num_layers = config.layers_per_block;
    o.add_sampler = i + 1 < channels.size();
    down_blocks_.emplace_back(o);
    down_blocks->push_back(down_blocks_.back());
  }
  mid_block = register_module("mid_block", MakeMidBlock(config));
  conv_norm_out =
      register_module("conv_norm_out", MakeNormOut(config, channels.back()));
  conv_out = register_module(
      "conv_out", MakeConv3x3(channels.back(), 2 * config.latent_channels));
}

torch::Tensor EncoderImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = conv_in(x);
  for (DownEncoderBlock2D& block : down_blocks_) h = block(h);
  h = mid_block(h, torch::Tensor());  // [B, C, h, w]
  return NormSiluConv(conv_norm_out, conv_out, h);
}

DecoderImpl::DecoderImpl(const AutoencoderKLConfig& config) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  const size_t n = channels.size();
  conv_in = register_module(
      "conv_in", MakeConv3x3(config.latent_channels, channels.back()));
  up_blocks = register_module("up_blocks", torch::nn::ModuleList());
  mid_block = register_module("mid_block", MakeMidBlock(config));
  for (size_t i = 0; i < n; ++i) {
    VaeBlockOptions o = MakeBlockOptions(config);
    o.in_channels = channels[i == 0 ? n - 1 : n - i];
    o.out_channels = channels[n - 1 - i];
    o.num_layers = config.layers_per_block + 1;
    o.add_sampler = i + 1 < n;
    up_blocks_.emplace_back(o);
    up_blocks->push_back(up_blocks_.back());
  }
  conv_norm_out =
      register_module("conv_norm_out", MakeNormOut(config, channels.front()));
  conv_out = register_module(
      "conv_out", MakeConv3x3(channels.front(), config.out_channels));
}

torch::Tensor DecoderImpl::forward(const torch::Tensor& z) {
  torch::Tensor h = mid_block(conv_in(z), torch::Tensor());  // [B, C, h, w]
  for (UpDecoderBlock2D& block : up_blocks_) h = block(h);
  return NormSiluConv(conv_norm_out, conv_out, h);
}

torch::Tensor LatentDistribution::Sample(const torch::Tensor& noise) const {
  return mean + torch::exp(0.5 * logvar) * noise.to(mean.device());
}

AutoencoderKLImpl::AutoencoderKLImpl(const AutoencoderKLConfig& config)
    : config_(config) {
  const int64_t latent = config.latent_channels;
  encoder = register_module("encoder", Encoder(config));
  decoder = register_module("decoder", Decoder(config));
  if (config.use_quant_conv) {
    quant_conv =
        register_module("quant_conv", MakeConv1x1(2 * latent, 2 * latent));
  }
  if (config.use_post_quant_conv) {
    post_quant_conv =
        register_module("post_quant_conv", MakeConv1x1(latent, latent));
  }
}

LatentDistribution AutoencoderKLImpl::encode(const torch::Tensor& image) {
  const torch::Tensor& like = encoder->conv_in->weight;
  torch::Tensor moments = encoder(image.to(like.device(), like.scalar_type()));
  if (!quant_conv.is_empty()) moments = quant_conv(moments);
  const std::vector<torch::Tensor> halves =
      moments.to(torch::kFloat32).chunk(2, 1);
  return {halves[0].contiguous(), halves[1].clamp(-30.0, 20.0).contiguous()};
}

torch::Tensor AutoencoderKLImpl::decode(const torch::Tensor& z) {
  const torch::Tensor& like = decoder->conv_in->weight;
  torch::Tensor h = z.to(like.device(), like.scalar_type());
  if (!post_quant_conv.is_empty()) h = post_quant_conv(h);
  return decoder(h);  // [B, out_channels, H, W]
}

}  // namespace ovdiff::engine
