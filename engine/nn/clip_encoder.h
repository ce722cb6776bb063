// The transformer that both towers of CLIP are made of.
// Reference: transformers 5.23, models/clip/modeling_clip.py.
#ifndef OVDIFF_ENGINE_NN_CLIP_ENCODER_H_
#define OVDIFF_ENGINE_NN_CLIP_ENCODER_H_

#include <cstdint>
#include <vector>

#include "engine/nn/clip_config.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// What a tower's configuration says about its layers.
struct ClipEncoderConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  ClipActivation hidden_act = ClipActivation::kQuickGelu;
  double layer_norm_eps = 1e-5;
  bool is_causal = false;  // each row sees itself and those before it
};

class CLIPAttentionImpl : public torch::nn::Module {
 public:
  explicit CLIPAttentionImpl(const ClipEncoderConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden);  // [B, T, D] -> same

  torch::nn::Linear k_proj{nullptr};
  torch::nn::Linear v_proj{nullptr};
  torch::nn::Linear q_proj{nullptr};
  torch::nn::Linear out_proj{nullptr};

 private:
  int64_t num_heads_;
  bool is_causal_;
};
TORCH_MODULE(CLIPAttention);

class CLIPMLPImpl : public torch::nn::Module {
 public:
  explicit CLIPMLPImpl(const ClipEncoderConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden);  // [B, T, D] -> same

  torch::nn::Linear fc1{nullptr};
  torch::nn::Linear fc2{nullptr};

 private:
  ClipActivation activation_;
};
TORCH_MODULE(CLIPMLP);

class CLIPEncoderLayerImpl : public torch::nn::Module {
 public:
  explicit CLIPEncoderLayerImpl(const ClipEncoderConfig& config);
  // Writes the result over `hidden` [B, T, D] (inference only).
  void Advance(torch::Tensor& hidden);
  // k_proj(layer_norm1(hidden)), all heads side by side: [B, T, D].
  torch::Tensor Keys(const torch::Tensor& hidden);

  CLIPAttention self_attn{nullptr};
  torch::nn::LayerNorm layer_norm1{nullptr};
  CLIPMLP mlp{nullptr};
  torch::nn::LayerNorm layer_norm2{nullptr};
};
TORCH_MODULE(CLIPEncoderLayer);

class CLIPEncoderImpl : public torch::nn::Module {
 public:
  explicit CLIPEncoderImpl(const ClipEncoderConfig& config);
  // Runs layers 0…num_layers-1 over `hidden`, which must be the caller's own
  // memory: it is overwritten.
  void Advance(torch::Tensor& hidden, int64_t num_layers);
  void Advance(torch::Tensor& hidden) { Advance(hidden, num_layers()); }

  int64_t num_layers() const { return static_cast<int64_t>(typed_.size()); }
  CLIPEncoderLayer& layer(int64_t index) {
    return typed_[static_cast<size_t>(index)];
  }

  torch::nn::ModuleList layers{nullptr};

 private:
  std::vector<CLIPEncoderLayer> typed_;
};
TORCH_MODULE(CLIPEncoder);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CLIP_ENCODER_H_
