#include "engine/nn/vision_transformer_config.h"

#include <string>

#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"

namespace ovdiff::engine {
namespace {

// Beyond any ViT there is; they keep a damaged file from asking for terabytes.
constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxLayers = 256;
constexpr int64_t kMaxSide = 1 << 13;

// Our bundle's file, with timm's field names.
void ReadTimm(HubConfig& json, VisionTransformerConfig& config) {
  json.OneOf("architecture", "vit_dino", {"vit_dino"});
  config.patch_size = json.Int("patch_size", 16, 1, 1024);
  config.img_size = json.Int("img_size", 224, config.patch_size, kMaxSide);
  config.in_chans = json.Int("in_chans", 3, 3, 3);
  config.embed_dim = json.Int("embed_dim", 768, 1, kMaxWidth);
  config.depth = json.Int("depth", 12, 1, kMaxLayers);
  config.num_heads = json.Int("num_heads", 12, 1, kMaxWidth);
  const double mlp_ratio = json.Number("mlp_ratio", 4.0, 0.01, 64.0);
  config.mlp_hidden =
      static_cast<int64_t>(static_cast<double>(config.embed_dim) * mlp_ratio);
  config.qkv_bias = json.Bool("qkv_bias", true);
  config.layer_norm_eps = json.Number("layer_norm_eps", 1e-6, 0.0, 1.0);
  if (config.embed_dim % config.num_heads != 0) {
    json.Refuse("num_heads",
                "a divisor of embed_dim " + std::to_string(config.embed_dim));
  }
}

// transformers' ViTConfig, ViTMAEConfig and Dinov2Config.
void ReadTransformers(HubConfig& json, VisionTransformerConfig& config) {
  const bool is_dinov2 =
      json.OneOf("model_type", "vit", {"vit", "vit_mae", "dinov2"}) == "dinov2";
  config.patch_size = json.Int("patch_size", is_dinov2 ? 14 : 16, 1, 1024);
  config.img_size = json.Int("image_size", 224, config.patch_size, kMaxSide);
  config.in_chans = json.Int("num_channels", 3, 3, 3);
  config.embed_dim = json.Int("hidden_size", 768, 1, kMaxWidth);
  config.depth = json.Int("num_hidden_layers", 12, 1, kMaxLayers);
  config.num_heads = json.Int("num_attention_heads", 12, 1, kMaxWidth);
  if (is_dinov2) {
    const double mlp_ratio = json.Number("mlp_ratio", 4.0, 0.01, 64.0);
    config.mlp_hidden =
        static_cast<int64_t>(static_cast<double>(config.embed_dim) * mlp_ratio);
    json.Only("use_swiglu_ffn", "false");
  } else {
    config.mlp_hidden = json.Int("intermediate_size", 3072, 1, 8 * kMaxWidth);
  }
  config.layer_scale = is_dinov2;
  config.qkv_bias = json.Bool("qkv_bias", true);
  json.OneOf("hidden_act", "gelu", {"gelu"});
  config.layer_norm_eps =
      json.Number("layer_norm_eps", is_dinov2 ? 1e-6 : 1e-12, 0.0, 1.0);
  if (config.embed_dim % config.num_heads != 0) {
    json.Refuse("num_attention_heads",
                "a divisor of hidden_size " + std::to_string(config.embed_dim));
  }
}

}  // namespace

absl::StatusOr<VisionTransformerConfig> VisionTransformerConfig::FromJsonText(
    std::string_view text) {
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text,
                                           "the vision transformer's "
                                           "config.json"));
  VisionTransformerConfig config;
  if (json.Has("architecture")) {
    ReadTimm(json, config);
  } else if (json.Has("model_type")) {
    ReadTransformers(json, config);
  } else {
    json.Refuse("architecture",
                "\"vit_dino\", or a \"model_type\" of transformers (vit, "
                "vit_mae, dinov2)");
  }
  OVDIFF_RETURN_IF_ERROR(json.status());
  return config;
}

}  // namespace ovdiff::engine
