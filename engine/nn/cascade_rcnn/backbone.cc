#include "engine/nn/cascade_rcnn/backbone.h"

#include <string>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr double kNormEps = 1e-5;

}  // namespace

ChannelNormImpl::ChannelNormImpl(int64_t channels) {
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
  running_mean = register_buffer("running_mean", torch::zeros({channels}));
  running_var = register_buffer("running_var", torch::ones({channels}));
}

torch::Tensor ChannelNormImpl::forward(const torch::Tensor& x) {
  return torch::batch_norm(x, weight, bias, running_mean, running_var,
                           /*training=*/false, /*momentum=*/0.0, kNormEps,
                           /*cudnn_enabled=*/true);
}

ConvNormImpl::ConvNormImpl(int64_t in_channels, int64_t out_channels,
                           int64_t kernel, int64_t stride)
    : stride_(stride) {
  weight = register_parameter(
      "weight", torch::empty({out_channels, in_channels, kernel, kernel}));
  torch::nn::init::kaiming_normal_(weight, 0, torch::kFanOut, torch::kReLU);
  norm = register_module("norm", ChannelNorm(out_channels));
}

torch::Tensor ConvNormImpl::forward(const torch::Tensor& x) {
  return norm(torch::conv2d(x, weight, torch::Tensor(), stride_,
                            /*padding=*/weight.size(2) / 2));
}

StemImpl::StemImpl(int64_t channels) {
  conv1 = register_module("conv1", ConvNorm(3, channels, 7, 2));
}

torch::Tensor StemImpl::forward(const torch::Tensor& x) {
  return torch::max_pool2d(conv1(x).relu_(), /*kernel_size=*/3, /*stride=*/2,
                           /*padding=*/1);
}

BottleneckImpl::BottleneckImpl(const BottleneckOptions& o) {
  conv1 =
      register_module("conv1", ConvNorm(o.in_channels, o.inner_channels, 1));
  conv2 = register_module(
      "conv2", ConvNorm(o.inner_channels, o.inner_channels, 3, o.stride));
  conv3 =
      register_module("conv3", ConvNorm(o.inner_channels, o.out_channels, 1));
  if (o.in_channels != o.out_channels) {
    shortcut = register_module(
        "shortcut", ConvNorm(o.in_channels, o.out_channels, 1, o.stride));
  }
}

torch::Tensor BottleneckImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = conv1(x).relu_();
  h = conv2(h).relu_();
  h = conv3(h);
  h.add_(shortcut.is_empty() ? x : shortcut(x));
  return h.relu_();
}

ResNetImpl::ResNetImpl(const CascadeRcnnConfig& config) {
  stem = register_module("stem", Stem(config.stem_out_channels));
  BottleneckOptions options{.in_channels = config.stem_out_channels,
                            .inner_channels = config.width_per_group,
                            .out_channels = config.res2_out_channels};
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    stages[stage] = register_module("res" + std::to_string(stage + 2),
                                    torch::nn::ModuleList());
    for (int64_t block = 0; block < config.stage_blocks[stage]; ++block) {
      options.stride = stage > 0 && block == 0 ? 2 : 1;
      blocks_[stage].emplace_back(options);
      stages[stage]->push_back(blocks_[stage].back());
      options.in_channels = options.out_channels;
    }
    options.inner_channels *= 2;
    options.out_channels *= 2;
  }
}

std::array<torch::Tensor, 4> ResNetImpl::forward(const torch::Tensor& x) {
  std::array<torch::Tensor, 4> maps;
  torch::Tensor h = stem(x);
  for (size_t stage = 0; stage < maps.size(); ++stage) {
    for (Bottleneck& block : blocks_[stage]) {
      h = block(h);
    }
    maps[stage] = h;
  }
  return maps;
}

FpnImpl::FpnImpl(const CascadeRcnnConfig& config) {
  bottom_up = register_module("bottom_up", ResNet(config));
  const int64_t channels = config.fpn_out_channels;
  for (size_t i = 0; i < laterals.size(); ++i) {
    const std::string level = std::to_string(i + 2);
    laterals[i] =
        register_module("fpn_lateral" + level,
                        ConvNorm(config.res2_out_channels << i, channels, 1));
    outputs[i] =
        register_module("fpn_output" + level, ConvNorm(channels, channels, 3));
  }
}

FeaturePyramid FpnImpl::forward(const torch::Tensor& x) {
  TORCH_CHECK(
      x.size(2) % kPyramidMultiple == 0 && x.size(3) % kPyramidMultiple == 0,
      "the detector's input must be padded to multiples of ", kPyramidMultiple,
      ", found ", x.sizes());
  std::array<torch::Tensor, 4> maps = bottom_up(x);
  FeaturePyramid pyramid;
  torch::Tensor merged;
  for (size_t i = laterals.size(); i-- > 0;) {
    torch::Tensor lateral = laterals[i](maps[i]);
    maps[i].reset();
    if (merged.defined()) {
      lateral.add_(
          at::upsample_nearest2d(merged, {lateral.size(2), lateral.size(3)}));
    }
    merged = lateral;
    pyramid[i] = outputs[i](merged);
  }
  pyramid[4] = torch::max_pool2d(pyramid[3], /*kernel_size=*/1, /*stride=*/2);
  return pyramid;
}

}  // namespace ovdiff::engine
