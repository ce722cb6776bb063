// Configurations of CLIP, with the field names of transformers' config.json.
#ifndef OVDIFF_ENGINE_NN_CLIP_CONFIG_H_
#define OVDIFF_ENGINE_NN_CLIP_CONFIG_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

enum class ClipActivation {
  kQuickGelu,  // x * sigmoid(1.702 x): OpenAI's
  kGelu,       // exact, with erf
};

// Parsing, here and below: unknown keys are ignored, missing or null ones take
// the default, a value that is not implemented is refused with
// kFailedPrecondition naming key, value and what is allowed.
struct CLIPTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  ClipActivation hidden_act = ClipActivation::kQuickGelu;
  double layer_norm_eps = 1e-5;
  // Where the pooled row stands: 2, a legacy of old files, means at the highest
  // id of the sequence; any other, at its first occurrence.
  int64_t eos_token_id = 49407;

  // text_encoder/config.json.
  static absl::StatusOr<CLIPTextConfig> FromJsonText(std::string_view text);
};

struct CLIPVisionConfig {
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t num_channels = 3;
  int64_t image_size = 224;  // pixels it was trained at; any size runs
  int64_t patch_size = 32;
  ClipActivation hidden_act = ClipActivation::kQuickGelu;
  double layer_norm_eps = 1e-5;

  static absl::StatusOr<CLIPVisionConfig> FromJsonText(std::string_view text);
};

struct CLIPConfig {
  CLIPTextConfig text_config;
  CLIPVisionConfig vision_config;
  int64_t projection_dim = 512;

  // A CLIPModel's config.json: text_config and vision_config inside; entries of
  // the legacy text_config_dict and vision_config_dict win, as in transformers.
  static absl::StatusOr<CLIPConfig> FromJsonText(std::string_view text);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CLIP_CONFIG_H_
