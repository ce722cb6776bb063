// The spatial transformer of the UNet: diffusers Transformer2DModel,
// BasicTransformerBlock, FeedForward and GEGLU (models/transformers/
// transformer_2d.py and models/attention.py, 0.42).
#ifndef OVDIFF_ENGINE_NN_TRANSFORMER_2D_H_
#define OVDIFF_ENGINE_NN_TRANSFORMER_2D_H_

#include <cstdint>
#include <vector>

#include "engine/nn/attention.h"
#include "engine/nn/attention_probe.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct Transformer2DOptions {
  int64_t in_channels = 0;
  int64_t num_attention_heads = 1;
  int64_t num_layers = 1;
  int64_t cross_attention_dim = 0;  // 0: blocks have no attn2
  int64_t norm_num_groups = 32;
  bool use_linear_projection = false;  // weights of proj_in/out are 2-D
  bool upcast_attention = false;
};

// value * gelu(gate), gelu by erf; both are halves of one projection.
class GEGLUImpl : public torch::nn::Module {
 public:
  GEGLUImpl(int64_t dim_in, int64_t dim_out);
  torch::Tensor forward(const torch::Tensor& x);  // [.., in] -> [.., out]

  torch::nn::Linear proj{nullptr};
};
TORCH_MODULE(GEGLU);

class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(int64_t dim);          // four times as wide inside
  torch::Tensor forward(const torch::Tensor& x);  // [B, N, C] -> same

  torch::nn::ModuleList net{nullptr};  // GEGLU, Dropout, Linear

 private:
  GEGLU in_{nullptr};
  torch::nn::Linear out_{nullptr};
};
TORCH_MODULE(FeedForward);

class BasicTransformerBlockImpl : public torch::nn::Module {
 public:
  explicit BasicTransformerBlockImpl(const Transformer2DOptions& options);
  // x [B, N, C] -> same, or undefined where the probe ends the forward.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionProbe* probe);

  torch::nn::LayerNorm norm1{nullptr};
  Attention attn1{nullptr};
  torch::nn::LayerNorm norm2{nullptr};
  Attention attn2{nullptr};  // null without cross_attention_dim
  torch::nn::LayerNorm norm3{nullptr};
  FeedForward ff{nullptr};
};
TORCH_MODULE(BasicTransformerBlock);

// proj_in and proj_out: the same numbers as a linear layer or, in older
// models, as a 1x1 convolution, which differ in the weight's shape only.
class TokenProjectionImpl : public torch::nn::Module {
 public:
  TokenProjectionImpl(int64_t dim, bool linear);  // weight 2-D if linear
  torch::Tensor forward(const torch::Tensor& x);  // [B, N, dim] -> same

  torch::Tensor weight;
  torch::Tensor bias;
};
TORCH_MODULE(TokenProjection);

class Transformer2DModelImpl : public torch::nn::Module {
 public:
  explicit Transformer2DModelImpl(const Transformer2DOptions& options);
  // x [B, C, H, W], context as in Attention -> [B, C, H, W], or undefined where
  // the probe ends the forward.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionProbe* probe);

  torch::nn::GroupNorm norm{nullptr};
  TokenProjection proj_in{nullptr};
  torch::nn::ModuleList transformer_blocks{nullptr};
  TokenProjection proj_out{nullptr};

 private:
  std::vector<BasicTransformerBlock> blocks_;
};
TORCH_MODULE(Transformer2DModel);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_TRANSFORMER_2D_H_
