#include "engine/nn/transformer_2d.h"

#include <cmath>

#include "engine/nn/feature_map.h"
#include "torch/nn/init.h"
#include "torch/nn/modules/dropout.h"

namespace ovdiff::engine {
namespace {

torch::nn::LayerNorm MakeLayerNorm(int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-5));
}

}  // namespace

GEGLUImpl::GEGLUImpl(int64_t dim_in, int64_t dim_out) {
  proj = register_module("proj", torch::nn::Linear(dim_in, 2 * dim_out));
}

torch::Tensor GEGLUImpl::forward(const torch::Tensor& x) {
  const std::vector<torch::Tensor> halves = proj(x).chunk(2, -1);
  return torch::gelu(halves[1]).mul_(halves[0]);
}

FeedForwardImpl::FeedForwardImpl(int64_t dim) {
  const int64_t inner = 4 * dim;
  in_ = GEGLU(dim, inner);
  out_ = torch::nn::Linear(inner, dim);
  net = register_module("net", torch::nn::ModuleList());
  net->push_back(in_);
  net->push_back(torch::nn::Dropout(0.0));
  net->push_back(out_);
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x) {
  return out_(in_(x));
}

BasicTransformerBlockImpl::BasicTransformerBlockImpl(
    const Transformer2DOptions& options) {
  const int64_t dim = options.in_channels;
  AttentionOptions attention;
  attention.query_dim = dim;
  attention.cross_attention_dim = dim;
  attention.heads = options.num_attention_heads;
  attention.upcast_attention = options.upcast_attention;
  norm1 = register_module("norm1", MakeLayerNorm(dim));
  attn1 = register_module("attn1", Attention(attention));
  if (options.cross_attention_dim > 0) {
    attention.cross_attention_dim = options.cross_attention_dim;
    norm2 = register_module("norm2", MakeLayerNorm(dim));
    attn2 = register_module("attn2", Attention(attention));
  }
  norm3 = register_module("norm3", MakeLayerNorm(dim));
  ff = register_module("ff", FeedForward(dim));
}

torch::Tensor BasicTransformerBlockImpl::forward(const torch::Tensor& x,
                                                 const torch::Tensor& context,
                                                 AttentionProbe* probe) {
  torch::Tensor h = attn1(norm1(x), torch::Tensor(), probe).add_(x);
  if (!attn2.is_empty()) {
    const torch::Tensor cross = attn2(norm2(h), context, probe);
    if (!cross.defined()) return {};
    h.add_(cross);
  }
  return ff(norm3(h)).add_(h);  // [B, N, C]
}

// Initialised as torch initialises both kinds of layer.
TokenProjectionImpl::TokenProjectionImpl(int64_t dim, bool linear) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(dim));
  weight =
      register_parameter("weight", linear ? torch::empty({dim, dim})
                                          : torch::empty({dim, dim, 1, 1}));
  bias = register_parameter("bias", torch::empty({dim}));
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  torch::nn::init::uniform_(bias, -bound, bound);
}

torch::Tensor TokenProjectionImpl::forward(const torch::Tensor& x) {
  return torch::linear(x, weight.flatten(1), bias);
}

Transformer2DModelImpl::Transformer2DModelImpl(
    const Transformer2DOptions& options) {
  const int64_t dim = options.in_channels;
  const bool linear = options.use_linear_projection;
  // This eps is fixed in the reference, unlike the resnets'.
  norm = register_module(
      "norm",
      torch::nn::GroupNorm(
          torch::nn::GroupNormOptions(options.norm_num_groups, dim).eps(1e-6)));
  proj_in = register_module("proj_in", TokenProjection(dim, linear));
  transformer_blocks =
      register_module("transformer_blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.num_layers; ++i) {
    blocks_.emplace_back(options);
    transformer_blocks->push_back(blocks_.back());
  }
  proj_out = register_module("proj_out", TokenProjection(dim, linear));
}

torch::Tensor Transformer2DModelImpl::forward(const torch::Tensor& x,
                                              const torch::Tensor& context,
                                              AttentionProbe* probe) {
  const int64_t height = x.size(2), width = x.size(3);
  if (probe != nullptr) probe->SetMapSize(height, width);
  torch::Tensor h = proj_in(MapToTokens(norm(x)));  // [B, H*W, C]
  for (BasicTransformerBlock& block : blocks_) {
    h = block(h, context, probe);
    if (!h.defined()) return {};
  }
  return x + TokensToMap(proj_out(h), height, width);  // [B, C, H, W]
}

}  // namespace ovdiff::engine
