#include "engine/nn/vision_transformer.h"

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

torch::nn::LayerNorm MakeNorm(const VisionTransformerConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.embed_dim})
                                  .eps(config.layer_norm_eps));
}

// hidden += scale * branch, with the branch's memory to spend.
void AddBranch(torch::Tensor& hidden, const LayerScale& scale,
               torch::Tensor branch) {
  if (!scale.is_empty()) {
    branch.mul_(scale->gamma);
  }
  hidden.add_(branch);
}

}  // namespace

PatchEmbedImpl::PatchEmbedImpl(const VisionTransformerConfig& config) {
  proj = register_module(
      "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(config.in_chans,
                                                         config.embed_dim,
                                                         config.patch_size)
                                    .stride(config.patch_size)));
}

torch::Tensor PatchEmbedImpl::forward(const torch::Tensor& pixel_values) {
  return proj(pixel_values);
}

ViTAttentionImpl::ViTAttentionImpl(const VisionTransformerConfig& config)
    : num_heads_(config.num_heads) {
  qkv = register_module(
      "qkv", torch::nn::Linear(torch::nn::LinearOptions(config.embed_dim,
                                                        3 * config.embed_dim)
                                   .bias(config.qkv_bias)));
  proj = register_module("proj",
                         torch::nn::Linear(config.embed_dim, config.embed_dim));
}

torch::Tensor ViTAttentionImpl::forward(const torch::Tensor& hidden) {
  const torch::Tensor parts =
      qkv(hidden)
          .unflatten(2, {3, num_heads_, -1})
          .permute({2, 0, 3, 1, 4});  // [3, B, heads, T, D / heads]
  const torch::Tensor mixed = at::scaled_dot_product_attention(
      parts[0], parts[1], parts[2]);              // [B, heads, T, D / heads]
  return proj(mixed.transpose(1, 2).flatten(2));  // [B, T, D]
}

torch::Tensor ViTAttentionImpl::Keys(const torch::Tensor& hidden) {
  const int64_t dim = hidden.size(2);
  return torch::nn::functional::linear(
      hidden, qkv->weight.narrow(0, dim, dim),
      qkv->bias.defined() ? qkv->bias.narrow(0, dim, dim) : torch::Tensor());
}

ViTMlpImpl::ViTMlpImpl(const VisionTransformerConfig& config) {
  fc1 = register_module("fc1",
                        torch::nn::Linear(config.embed_dim, config.mlp_hidden));
  fc2 = register_module("fc2",
                        torch::nn::Linear(config.mlp_hidden, config.embed_dim));
}

torch::Tensor ViTMlpImpl::forward(const torch::Tensor& hidden) {
  torch::Tensor wide = fc1(hidden);  // [B, T, mlp_hidden]
  return fc2(at::gelu_(wide));       // exact, with erf
}

LayerScaleImpl::LayerScaleImpl(int64_t dim) {
  gamma = register_parameter("gamma", torch::ones({dim}));
}

ViTBlockImpl::ViTBlockImpl(const VisionTransformerConfig& config) {
  norm1 = register_module("norm1", MakeNorm(config));
  attn = register_module("attn", ViTAttention(config));
  norm2 = register_module("norm2", MakeNorm(config));
  mlp = register_module("mlp", ViTMlp(config));
  if (config.layer_scale) {
    ls1 = register_module("ls1", LayerScale(config.embed_dim));
    ls2 = register_module("ls2", LayerScale(config.embed_dim));
  }
}

void ViTBlockImpl::Advance(torch::Tensor& hidden) {
  AddBranch(hidden, ls1, attn(norm1(hidden)));
  AddBranch(hidden, ls2, mlp(norm2(hidden)));
}

torch::Tensor ViTBlockImpl::Keys(const torch::Tensor& hidden) {
  return attn->Keys(norm1(hidden));
}

VisionTransformerImpl::VisionTransformerImpl(
    const VisionTransformerConfig& config)
    : config_(config) {
  const int64_t grid = config.img_size / config.patch_size;
  cls_token =
      register_parameter("cls_token", torch::zeros({1, 1, config.embed_dim}));
  pos_embed = register_parameter(
      "pos_embed", torch::zeros({1, 1 + grid * grid, config.embed_dim}));
  patch_embed = register_module("patch_embed", PatchEmbed(config));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.depth; ++i) {
    typed_.emplace_back(config);
    blocks->push_back(typed_.back());
  }
  norm = register_module("norm", MakeNorm(config));
}

torch::Tensor VisionTransformerImpl::Embed(const torch::Tensor& pixel_values,
                                           PositionInterpolation rule) {
  const torch::Tensor positions = InterpolatePositions(
      pos_embed[0], pixel_values.size(2), pixel_values.size(3),
      config_.patch_size, rule);  // [1 + N, D]
  const torch::Tensor patches =
      patch_embed(pixel_values).flatten(2).transpose(1, 2);  // [B, N, D]
  torch::Tensor rows =
      torch::empty({patches.size(0), positions.size(0), positions.size(1)},
                   patches.options());
  rows.select(1, 0).copy_(cls_token[0][0] + positions[0]);
  torch::Tensor patch_rows = rows.narrow(1, 1, patches.size(1));
  torch::add_out(patch_rows, patches, positions.narrow(0, 1, patches.size(1)));
  return rows;  // [B, 1 + N, D]
}

torch::Tensor VisionTransformerImpl::Advance(const torch::Tensor& pixel_values,
                                             int64_t num_layers,
                                             PositionInterpolation rule) {
  torch::Tensor hidden = Embed(pixel_values, rule);
  for (int64_t i = 0; i < num_layers; ++i) {
    typed_[static_cast<size_t>(i)]->Advance(hidden);
  }
  return hidden;
}

torch::Tensor VisionTransformerImpl::forward(const torch::Tensor& pixel_values,
                                             PositionInterpolation rule) {
  return norm(Advance(pixel_values, num_layers(), rule));
}

torch::Tensor VisionTransformerImpl::PatchKeys(
    const torch::Tensor& pixel_values, int64_t layer,
    PositionInterpolation rule) {
  const int64_t index = ResolveLayer(layer, num_layers());
  const torch::Tensor hidden = Advance(pixel_values, index, rule);
  return ToMap(typed_[static_cast<size_t>(index)]->Keys(hidden), pixel_values);
}

torch::Tensor VisionTransformerImpl::PatchTokens(
    const torch::Tensor& pixel_values, int64_t layer,
    PositionInterpolation rule) {
  return ToMap(
      Advance(pixel_values, ResolveLayer(layer, num_layers()) + 1, rule),
      pixel_values);
}

torch::Tensor VisionTransformerImpl::ToMap(
    const torch::Tensor& rows, const torch::Tensor& pixel_values) const {
  return PatchRowsToMap(rows, pixel_values.size(2) / config_.patch_size,
                        pixel_values.size(3) / config_.patch_size);
}

}  // namespace ovdiff::engine
