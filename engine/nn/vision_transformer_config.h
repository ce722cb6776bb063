// VisionTransformerConfig: DINO's and timm's plain ViT, from our bundle's or
// from transformers' config.json.
#ifndef OVDIFF_ENGINE_NN_VISION_TRANSFORMER_CONFIG_H_
#define OVDIFF_ENGINE_NN_VISION_TRANSFORMER_CONFIG_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

// Field names are timm's.
struct VisionTransformerConfig {
  int64_t img_size = 224;  // pixels it was trained at; any size runs
  int64_t patch_size = 16;
  int64_t in_chans = 3;
  int64_t embed_dim = 768;
  int64_t depth = 12;
  int64_t num_heads = 12;
  int64_t mlp_hidden = 3072;  // timm: int(embed_dim * mlp_ratio)
  bool qkv_bias = true;
  bool layer_scale = false;  // DINOv2's ls1 and ls2
  double layer_norm_eps = 1e-6;

  // Either {"architecture": "vit_dino", "embed_dim", "depth", "num_heads",
  // "patch_size", "img_size", "mlp_ratio", "qkv_bias", "layer_norm_eps"} or the
  // config.json of transformers with "model_type" vit, vit_mae or dinov2.
  // Unknown keys are ignored, missing or null ones take the default (for
  // transformers' files, transformers' own), a value that is not implemented is
  // refused with kFailedPrecondition naming key, value and what is allowed.
  static absl::StatusOr<VisionTransformerConfig> FromJsonText(
      std::string_view text);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_VISION_TRANSFORMER_CONFIG_H_
