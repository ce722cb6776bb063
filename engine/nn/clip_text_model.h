// CLIPTextModel: the text tower of CLIP; Stable Diffusion's text encoder.
// Reference: transformers 5.23, models/clip/modeling_clip.py; networks.md 1.7.
#ifndef OVDIFF_ENGINE_NN_CLIP_TEXT_MODEL_H_
#define OVDIFF_ENGINE_NN_CLIP_TEXT_MODEL_H_

#include "engine/nn/clip_config.h"
#include "engine/nn/clip_encoder.h"
#include "torch/nn/modules/embedding.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

class CLIPTextEmbeddingsImpl : public torch::nn::Module {
 public:
  explicit CLIPTextEmbeddingsImpl(const CLIPTextConfig& config);
  // [B, T] int64 -> [B, T, D]. REQUIRES: T <= max_position_embeddings, ids in
  // the vocabulary.
  torch::Tensor forward(const torch::Tensor& input_ids);

  torch::nn::Embedding token_embedding{nullptr};
  torch::nn::Embedding position_embedding{nullptr};
};
TORCH_MODULE(CLIPTextEmbeddings);

// What stands under `text_model.` in a checkpoint.
class CLIPTextTransformerImpl : public torch::nn::Module {
 public:
  explicit CLIPTextTransformerImpl(const CLIPTextConfig& config);
  // [B, T] int64 -> [B, T, D], after final_layer_norm.
  torch::Tensor forward(const torch::Tensor& input_ids);
  // The row of each sequence that stands for it (CLIPTextConfig::
  // eos_token_id): [B, T, D] and [B, T] -> [B, D].
  torch::Tensor Pool(const torch::Tensor& last_hidden_state,
                     const torch::Tensor& input_ids) const;

  CLIPTextEmbeddings embeddings{nullptr};
  CLIPEncoder encoder{nullptr};
  torch::nn::LayerNorm final_layer_norm{nullptr};

 private:
  int64_t eos_token_id_;
};
TORCH_MODULE(CLIPTextTransformer);

// Thread-compatible; forward of a loaded model may run on several threads.
class CLIPTextModelImpl : public torch::nn::Module {
 public:
  explicit CLIPTextModelImpl(const CLIPTextConfig& config);
  // The last_hidden_state that Stable Diffusion is conditioned on: [B, T]
  // int64 ids -> [B, T, hidden_size]. Padding is not masked.
  torch::Tensor forward(const torch::Tensor& input_ids);
  const CLIPTextConfig& config() const { return config_; }

  CLIPTextTransformer text_model{nullptr};

 private:
  CLIPTextConfig config_;
};
TORCH_MODULE(CLIPTextModel);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CLIP_TEXT_MODEL_H_
