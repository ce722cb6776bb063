#include "engine/nn/clip_encoder.h"

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

torch::nn::LayerNorm MakeNorm(const ClipEncoderConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.hidden_size})
                                  .eps(config.layer_norm_eps));
}

}  // namespace

CLIPAttentionImpl::CLIPAttentionImpl(const ClipEncoderConfig& config)
    : num_heads_(config.num_attention_heads), is_causal_(config.is_causal) {
  const int64_t dim = config.hidden_size;
  k_proj = register_module("k_proj", torch::nn::Linear(dim, dim));
  v_proj = register_module("v_proj", torch::nn::Linear(dim, dim));
  q_proj = register_module("q_proj", torch::nn::Linear(dim, dim));
  out_proj = register_module("out_proj", torch::nn::Linear(dim, dim));
}

torch::Tensor CLIPAttentionImpl::forward(const torch::Tensor& hidden) {
  const auto split_heads = [this](const torch::Tensor& rows) {
    return rows.unflatten(2, {num_heads_, -1}).transpose(1, 2);
  };
  const torch::Tensor mixed = at::scaled_dot_product_attention(
      split_heads(q_proj(hidden)), split_heads(k_proj(hidden)),
      split_heads(v_proj(hidden)), /*attn_mask=*/std::nullopt,
      /*dropout_p=*/0.0, is_causal_);  // [B, heads, T, D / heads]
  return out_proj(mixed.transpose(1, 2).flatten(2));  // [B, T, D]
}

CLIPMLPImpl::CLIPMLPImpl(const ClipEncoderConfig& config)
    : activation_(config.hidden_act) {
  fc1 = register_module(
      "fc1", torch::nn::Linear(config.hidden_size, config.intermediate_size));
  fc2 = register_module(
      "fc2", torch::nn::Linear(config.intermediate_size, config.hidden_size));
}

torch::Tensor CLIPMLPImpl::forward(const torch::Tensor& hidden) {
  torch::Tensor wide = fc1(hidden);  // [B, T, intermediate_size]
  if (activation_ == ClipActivation::kGelu) {
    return fc2(at::gelu_(wide));
  }
  return fc2((wide * 1.702).sigmoid_().mul_(wide));
}

CLIPEncoderLayerImpl::CLIPEncoderLayerImpl(const ClipEncoderConfig& config) {
  self_attn = register_module("self_attn", CLIPAttention(config));
  layer_norm1 = register_module("layer_norm1", MakeNorm(config));
  mlp = register_module("mlp", CLIPMLP(config));
  layer_norm2 = register_module("layer_norm2", MakeNorm(config));
}

void CLIPEncoderLayerImpl::Advance(torch::Tensor& hidden) {
  hidden.add_(self_attn(layer_norm1(hidden)));
  hidden.add_(mlp(layer_norm2(hidden)));
}

torch::Tensor CLIPEncoderLayerImpl::Keys(const torch::Tensor& hidden) {
  return self_attn->k_proj(layer_norm1(hidden));
}

CLIPEncoderImpl::CLIPEncoderImpl(const ClipEncoderConfig& config) {
  layers = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    typed_.emplace_back(config);
    layers->push_back(typed_.back());
  }
}

void CLIPEncoderImpl::Advance(torch::Tensor& hidden, int64_t num_layers) {
  for (int64_t i = 0; i < num_layers; ++i) {
    layer(i)->Advance(hidden);
  }
}

}  // namespace ovdiff::engine
