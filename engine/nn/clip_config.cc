#include "engine/nn/clip_config.h"

#include <string>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {
namespace {

using nlohmann::json;

// Beyond any CLIP there is; they keep a damaged file from asking for terabytes.
constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxLayers = 256;

ClipActivation Activation(HubConfig& config) {
  return config.OneOf("hidden_act", "quick_gelu", {"quick_gelu", "gelu"}) ==
                 "gelu"
             ? ClipActivation::kGelu
             : ClipActivation::kQuickGelu;
}

void CheckHeads(HubConfig& config, int64_t hidden_size, int64_t num_heads) {
  if (hidden_size % num_heads != 0) {
    config.Refuse("num_attention_heads",
                  "a divisor of hidden_size " + std::to_string(hidden_size));
  }
}

// `name` of a CLIPModel's file with the entries of the legacy `name`_dict over
// it, as text.
std::string TowerText(const json& root, const std::string& name) {
  json tower = json::object();
  for (const std::string& key : {name, name + "_dict"}) {
    const auto found = root.find(key);
    if (found != root.end() && found->is_object()) {
      tower.update(*found);
    }
  }
  return tower.dump();
}

absl::StatusOr<CLIPTextConfig> ParseText(std::string_view text,
                                         std::string what) {
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text, std::move(what)));
  CLIPTextConfig config;
  config.vocab_size = json.Int("vocab_size", 49408, 1, 1 << 22);
  config.hidden_size = json.Int("hidden_size", 512, 1, kMaxWidth);
  config.intermediate_size =
      json.Int("intermediate_size", 2048, 1, 8 * kMaxWidth);
  config.num_hidden_layers = json.Int("num_hidden_layers", 12, 1, kMaxLayers);
  config.num_attention_heads = json.Int("num_attention_heads", 8, 1, kMaxWidth);
  config.max_position_embeddings =
      json.Int("max_position_embeddings", 77, 2, 1 << 16);
  config.hidden_act = Activation(json);
  config.layer_norm_eps = json.Number("layer_norm_eps", 1e-5, 0.0, 1.0);
  config.eos_token_id = json.Int("eos_token_id", 49407, 0, 1 << 22);
  // SD 2's and a few others mask padding; Stable Diffusion 1 does not.
  json.Only("use_attention_mask", "false");
  CheckHeads(json, config.hidden_size, config.num_attention_heads);
  OVDIFF_RETURN_IF_ERROR(json.status());
  return config;
}

absl::StatusOr<CLIPVisionConfig> ParseVision(std::string_view text,
                                             std::string what) {
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text, std::move(what)));
  CLIPVisionConfig config;
  config.hidden_size = json.Int("hidden_size", 768, 1, kMaxWidth);
  config.intermediate_size =
      json.Int("intermediate_size", 3072, 1, 8 * kMaxWidth);
  config.num_hidden_layers = json.Int("num_hidden_layers", 12, 1, kMaxLayers);
  config.num_attention_heads =
      json.Int("num_attention_heads", 12, 1, kMaxWidth);
  config.num_channels = json.Int("num_channels", 3, 3, 3);
  config.patch_size = json.Int("patch_size", 32, 1, 1024);
  config.image_size = json.Int("image_size", 224, config.patch_size, 1 << 13);
  config.hidden_act = Activation(json);
  config.layer_norm_eps = json.Number("layer_norm_eps", 1e-5, 0.0, 1.0);
  CheckHeads(json, config.hidden_size, config.num_attention_heads);
  OVDIFF_RETURN_IF_ERROR(json.status());
  return config;
}

}  // namespace

absl::StatusOr<CLIPTextConfig> CLIPTextConfig::FromJsonText(
    std::string_view text) {
  return ParseText(text, "the text encoder's config.json");
}

absl::StatusOr<CLIPVisionConfig> CLIPVisionConfig::FromJsonText(
    std::string_view text) {
  return ParseVision(text, "the vision model's config.json");
}

absl::StatusOr<CLIPConfig> CLIPConfig::FromJsonText(std::string_view text) {
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text, "CLIP's config.json"));
  CLIPConfig config;
  config.projection_dim = json.Int("projection_dim", 512, 1, kMaxWidth);
  // HubConfig has parsed it, so it is an object.
  const nlohmann::json root = nlohmann::json::parse(text, nullptr, false);
  for (const std::string tower : {"text_config", "vision_config"}) {
    if (!json.Has(tower) && !json.Has(tower + "_dict")) {
      json.Refuse(tower, "an object: is this a CLIPModel's file?");
    }
    for (const std::string& key : {tower, tower + "_dict"}) {
      if (json.Has(key) && !root[key].is_object()) {
        json.Refuse(key, "an object");
      }
    }
  }
  OVDIFF_RETURN_IF_ERROR(json.status());
  OVDIFF_ASSIGN_OR_RETURN(
      config.text_config,
      ParseText(TowerText(root, "text_config"), "CLIP's text_config"));
  OVDIFF_ASSIGN_OR_RETURN(
      config.vision_config,
      ParseVision(TowerText(root, "vision_config"), "CLIP's vision_config"));
  return config;
}

}  // namespace ovdiff::engine
