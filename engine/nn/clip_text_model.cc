#include "engine/nn/clip_text_model.h"

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// What marks files written before transformers knew the real id.
constexpr int64_t kLegacyEosTokenId = 2;

ClipEncoderConfig EncoderConfig(const CLIPTextConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_hidden_layers = config.num_hidden_layers,
          .num_attention_heads = config.num_attention_heads,
          .hidden_act = config.hidden_act,
          .layer_norm_eps = config.layer_norm_eps,
          .is_causal = true};
}

}  // namespace

CLIPTextEmbeddingsImpl::CLIPTextEmbeddingsImpl(const CLIPTextConfig& config) {
  token_embedding = register_module(
      "token_embedding",
      torch::nn::Embedding(config.vocab_size, config.hidden_size));
  position_embedding = register_module(
      "position_embedding",
      torch::nn::Embedding(config.max_position_embeddings, config.hidden_size));
}

torch::Tensor CLIPTextEmbeddingsImpl::forward(const torch::Tensor& input_ids) {
  const torch::Tensor& positions = position_embedding->weight;
  TORCH_CHECK(input_ids.dim() == 2 && input_ids.size(1) <= positions.size(0),
              "token ids of shape ", input_ids.sizes(),
              " where [batch, at most ", positions.size(0), "] is needed");
  return token_embedding(input_ids).add_(
      positions.narrow(0, 0, input_ids.size(1)));  // [B, T, D]
}

CLIPTextTransformerImpl::CLIPTextTransformerImpl(const CLIPTextConfig& config)
    : eos_token_id_(config.eos_token_id) {
  embeddings = register_module("embeddings", CLIPTextEmbeddings(config));
  encoder = register_module("encoder", CLIPEncoder(EncoderConfig(config)));
  final_layer_norm = register_module(
      "final_layer_norm",
      torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.hidden_size})
                               .eps(config.layer_norm_eps)));
}

torch::Tensor CLIPTextTransformerImpl::forward(const torch::Tensor& input_ids) {
  torch::Tensor hidden = embeddings(input_ids);  // [B, T, D]
  encoder->Advance(hidden);
  return final_layer_norm(hidden);
}

torch::Tensor CLIPTextTransformerImpl::Pool(
    const torch::Tensor& last_hidden_state,
    const torch::Tensor& input_ids) const {
  // argmax answers the first of equal values, so padding with the end token
  // does not matter.
  const torch::Tensor position =
      eos_token_id_ == kLegacyEosTokenId
          ? input_ids.argmax(-1)
          : input_ids.eq(eos_token_id_).to(torch::kInt).argmax(-1);  // [B]
  return last_hidden_state.index(
      {torch::arange(position.size(0), position.options()), position});
}

CLIPTextModelImpl::CLIPTextModelImpl(const CLIPTextConfig& config)
    : config_(config) {
  text_model = register_module("text_model", CLIPTextTransformer(config));
}

torch::Tensor CLIPTextModelImpl::forward(const torch::Tensor& input_ids) {
  return text_model(input_ids);
}

}  // namespace ovdiff::engine
