// The detector's backbone: ResNet with bottlenecks, and a feature pyramid over
// it (He et al. 2015; Lin et al. 2016). Names and structure are detectron2's
// (modeling/backbone/{resnet,fpn}.py with norm layers in both; networks.md
// 6.1), so that its state dicts load.
#ifndef OVDIFF_ENGINE_NN_CASCADE_RCNN_BACKBONE_H_
#define OVDIFF_ENGINE_NN_CASCADE_RCNN_BACKBONE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "engine/nn/cascade_rcnn/config.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Batch norm by its running statistics: what it is at test, whatever it was
// called in training. The count of batches is not held; it changes nothing.
class ChannelNormImpl : public torch::nn::Module {
 public:
  explicit ChannelNormImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, H, W] -> same

  torch::Tensor weight;        // [C]
  torch::Tensor bias;          // [C]
  torch::Tensor running_mean;  // [C]
  torch::Tensor running_var;   // [C]
};
TORCH_MODULE(ChannelNorm);

// A convolution without bias that pads to keep the size, then its norm, a child
// of it as in detectron2.
class ConvNormImpl : public torch::nn::Module {
 public:
  ConvNormImpl(int64_t in_channels, int64_t out_channels, int64_t kernel,
               int64_t stride = 1);
  // [B, in, H, W] -> [B, out, ceil(H / stride), ceil(W / stride)]
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight;  // [out, in, kernel, kernel]
  ChannelNorm norm{nullptr};

 private:
  int64_t stride_;
};
TORCH_MODULE(ConvNorm);

class StemImpl : public torch::nn::Module {
 public:
  explicit StemImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // -> [B, C, H/4, W/4]

  ConvNorm conv1{nullptr};
};
TORCH_MODULE(Stem);

struct BottleneckOptions {
  int64_t in_channels = 0;
  int64_t inner_channels = 0;
  int64_t out_channels = 0;
  int64_t stride = 1;  // of the 3x3 convolution
};

class BottleneckImpl : public torch::nn::Module {
 public:
  explicit BottleneckImpl(const BottleneckOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

  ConvNorm conv1{nullptr};
  ConvNorm conv2{nullptr};
  ConvNorm conv3{nullptr};
  ConvNorm shortcut{nullptr};  // empty where the channels stay
};
TORCH_MODULE(Bottleneck);

class ResNetImpl : public torch::nn::Module {
 public:
  explicit ResNetImpl(const CascadeRcnnConfig& config);
  // [B, 3, H, W] -> res2 to res5, at strides 4, 8, 16, 32.
  std::array<torch::Tensor, 4> forward(const torch::Tensor& x);

  Stem stem{nullptr};
  std::array<torch::nn::ModuleList, 4> stages;  // res2 to res5

 private:
  std::array<std::vector<Bottleneck>, 4> blocks_;
};
TORCH_MODULE(ResNet);

// p2 to p6, at strides 4 to 64; [B, fpn_out_channels, H / stride, W / stride].
using FeaturePyramid = std::array<torch::Tensor, 5>;
inline constexpr std::array<int64_t, 5> kPyramidStrides = {4, 8, 16, 32, 64};
inline constexpr int64_t kPyramidMultiple = 32;  // sides of the input, pixels

class FpnImpl : public torch::nn::Module {
 public:
  explicit FpnImpl(const CascadeRcnnConfig& config);
  // x: [B, 3, H, W], sides multiples of kPyramidMultiple.
  FeaturePyramid forward(const torch::Tensor& x);

  ResNet bottom_up{nullptr};
  std::array<ConvNorm, 4> laterals{nullptr, nullptr, nullptr, nullptr};
  std::array<ConvNorm, 4> outputs{nullptr, nullptr, nullptr, nullptr};
};
TORCH_MODULE(Fpn);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CASCADE_RCNN_BACKBONE_H_
