#include "engine/nn/clip_vision_model.h"

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

ClipEncoderConfig EncoderConfig(const CLIPVisionConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_hidden_layers = config.num_hidden_layers,
          .num_attention_heads = config.num_attention_heads,
          .hidden_act = config.hidden_act,
          .layer_norm_eps = config.layer_norm_eps,
          .is_causal = false};
}

torch::nn::LayerNorm MakeNorm(const CLIPVisionConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.hidden_size})
                                  .eps(config.layer_norm_eps));
}

}  // namespace

CLIPVisionEmbeddingsImpl::CLIPVisionEmbeddingsImpl(
    const CLIPVisionConfig& config)
    : patch_size_(config.patch_size) {
  const int64_t grid = config.image_size / config.patch_size;
  class_embedding =
      register_parameter("class_embedding", torch::zeros({config.hidden_size}));
  patch_embedding = register_module(
      "patch_embedding",
      torch::nn::Conv2d(torch::nn::Conv2dOptions(config.num_channels,
                                                 config.hidden_size,
                                                 config.patch_size)
                            .stride(config.patch_size)
                            .bias(false)));
  position_embedding = register_module(
      "position_embedding",
      torch::nn::Embedding(1 + grid * grid, config.hidden_size));
}

torch::Tensor CLIPVisionEmbeddingsImpl::forward(
    const torch::Tensor& pixel_values, PositionInterpolation rule) {
  const torch::Tensor positions = InterpolatePositions(
      position_embedding->weight, pixel_values.size(2), pixel_values.size(3),
      patch_size_, rule);  // [1 + N, D]
  const torch::Tensor patches =
      patch_embedding(pixel_values).flatten(2).transpose(1, 2);  // [B, N, D]
  torch::Tensor rows =
      torch::empty({patches.size(0), positions.size(0), positions.size(1)},
                   patches.options());
  rows.select(1, 0).copy_(class_embedding + positions[0]);
  torch::Tensor patch_rows = rows.narrow(1, 1, patches.size(1));
  torch::add_out(patch_rows, patches, positions.narrow(0, 1, patches.size(1)));
  return rows;  // [B, 1 + N, D]
}

CLIPVisionTransformerImpl::CLIPVisionTransformerImpl(
    const CLIPVisionConfig& config) {
  embeddings = register_module("embeddings", CLIPVisionEmbeddings(config));
  pre_layrnorm = register_module("pre_layrnorm", MakeNorm(config));
  encoder = register_module("encoder", CLIPEncoder(EncoderConfig(config)));
  post_layernorm = register_module("post_layernorm", MakeNorm(config));
}

torch::Tensor CLIPVisionTransformerImpl::Embed(
    const torch::Tensor& pixel_values, PositionInterpolation rule) {
  return pre_layrnorm(embeddings(pixel_values, rule));
}

torch::Tensor CLIPVisionTransformerImpl::forward(
    const torch::Tensor& pixel_values, PositionInterpolation rule) {
  torch::Tensor hidden = Embed(pixel_values, rule);  // [B, 1 + N, D]
  encoder->Advance(hidden);
  return hidden;
}

torch::Tensor CLIPVisionTransformerImpl::Pool(const torch::Tensor& pixel_values,
                                              PositionInterpolation rule) {
  return post_layernorm(forward(pixel_values, rule).select(1, 0));
}

torch::Tensor CLIPVisionTransformerImpl::PatchKeys(
    const torch::Tensor& pixel_values, int64_t layer,
    PositionInterpolation rule) {
  const int64_t index = ResolveLayer(layer, num_layers());
  torch::Tensor hidden = Embed(pixel_values, rule);
  encoder->Advance(hidden, index);
  return ToMap(encoder->layer(index)->Keys(hidden), pixel_values);
}

torch::Tensor CLIPVisionTransformerImpl::PatchTokens(
    const torch::Tensor& pixel_values, int64_t layer,
    PositionInterpolation rule) {
  torch::Tensor hidden = Embed(pixel_values, rule);
  encoder->Advance(hidden, ResolveLayer(layer, num_layers()) + 1);
  return ToMap(hidden, pixel_values);
}

torch::Tensor CLIPVisionTransformerImpl::ToMap(
    const torch::Tensor& rows, const torch::Tensor& pixel_values) const {
  return PatchRowsToMap(rows, pixel_values.size(2) / patch_size(),
                        pixel_values.size(3) / patch_size());
}

}  // namespace ovdiff::engine
