// The UNet's blocks (diffusers models/unets/unet_2d_blocks.py, 0.42).
#ifndef OVDIFF_ENGINE_NN_UNET_2D_BLOCKS_H_
#define OVDIFF_ENGINE_NN_UNET_2D_BLOCKS_H_

#include <cstdint>
#include <vector>

#include "engine/nn/attention_probe.h"
#include "engine/nn/resnet_2d.h"
#include "engine/nn/transformer_2d.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct UNetBlockOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t prev_output_channels = 0;  // up blocks: channels that come from below
  int64_t temb_channels = 0;
  int64_t num_layers = 1;
  bool add_sampler = true;  // downsampler or upsampler at the end
  int64_t downsample_padding = 1;
  int64_t resnet_groups = 32;
  double resnet_eps = 1e-6;
  // Blocks with cross-attention only.
  int64_t transformer_layers = 1;
  int64_t num_attention_heads = 1;
  int64_t cross_attention_dim = 0;
  bool use_linear_projection = false;
  bool upcast_attention = false;
};

// What all blocks of one forward share.
struct UNetStep {
  torch::Tensor temb_act;  // silu(time embedding), [B or 1, temb_channels]
  torch::Tensor context;   // text states as in Attention
  AttentionProbe* probe = nullptr;
};

// Blocks return undefined tensors from where the probe ends the forward.
class UNetDownBlock : public torch::nn::Module {
 public:
  // x [B, in, H, W]; pushes the output of every layer and of the downsampler
  // on `skips` and returns the last.
  virtual torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                                std::vector<torch::Tensor>& skips) = 0;
};

class UNetUpBlock : public torch::nn::Module {
 public:
  // x [B, prev, H, W]; pops one of `skips` per layer. Upsamples to the size of
  // the skip that is then on top, which need not be exactly twice its own.
  virtual torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                                std::vector<torch::Tensor>& skips) = 0;
};

class DownBlock2DImpl : public UNetDownBlock {
 public:
  explicit DownBlock2DImpl(const UNetBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                        std::vector<torch::Tensor>& skips) override;

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList downsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  Downsample2D downsampler_{nullptr};
};
TORCH_MODULE(DownBlock2D);

class CrossAttnDownBlock2DImpl : public UNetDownBlock {
 public:
  explicit CrossAttnDownBlock2DImpl(const UNetBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                        std::vector<torch::Tensor>& skips) override;

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList attentions{nullptr};
  torch::nn::ModuleList downsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
  Downsample2D downsampler_{nullptr};
};
TORCH_MODULE(CrossAttnDownBlock2D);

class UNetMidBlock2DCrossAttnImpl : public torch::nn::Module {
 public:
  // in_channels only; resnet, then `num_layers` times transformer and resnet.
  explicit UNetMidBlock2DCrossAttnImpl(const UNetBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const UNetStep& step);

  torch::nn::ModuleList attentions{nullptr};
  torch::nn::ModuleList resnets{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
};
TORCH_MODULE(UNetMidBlock2DCrossAttn);

class UpBlock2DImpl : public UNetUpBlock {
 public:
  explicit UpBlock2DImpl(const UNetBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                        std::vector<torch::Tensor>& skips) override;

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList upsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  Upsample2D upsampler_{nullptr};
};
TORCH_MODULE(UpBlock2D);

class CrossAttnUpBlock2DImpl : public UNetUpBlock {
 public:
  explicit CrossAttnUpBlock2DImpl(const UNetBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const UNetStep& step,
                        std::vector<torch::Tensor>& skips) override;

  torch::nn::ModuleList resnets{nullptr};
  torch::nn::ModuleList attentions{nullptr};
  torch::nn::ModuleList upsamplers{nullptr};

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
  Upsample2D upsampler_{nullptr};
};
TORCH_MODULE(CrossAttnUpBlock2D);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_UNET_2D_BLOCKS_H_
