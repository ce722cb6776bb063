#include "engine/bundle/options_json.h"

#include "absl/strings/str_cat.h"

namespace ovdiff::engine {
namespace {

using nlohmann::json;

template <typename T>
void ReadPart(JsonObject& parent, const std::string& key,
              void (*read)(JsonObject&, T*), T* options) {
  const json* child = parent.Child(key, /*required=*/false);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(parent.where(), ".", key));
  read(object, options);
  parent.Merge(object.Finish());
}

void ReadGeneration(JsonObject& object, GenerationOptions* options) {
  object.Optional("num_pictures", &options->num_pictures);
  object.Optional("num_steps", &options->num_steps);
  object.Optional("self_attention_rounds", &options->self_attention_rounds);
  object.Optional("guidance_scale", &options->guidance_scale);
  object.Optional("prompt_template", &options->prompt_template);
  object.Optional("negative_prompt", &options->negative_prompt);
  object.Optional("seed", &options->seed);
  object.Optional("noise_dtype", &options->noise_dtype);
  object.Optional("final_sigmas_type", &options->final_sigmas_type);
  object.Optional("batch_size", &options->batch_size);
}

void ReadMaskCut(JsonObject& object, MaskCutOptions* options) {
  object.Optional("affinity_threshold", &options->affinity_threshold);
  object.Optional("max_masks", &options->max_masks);
}

void ReadCutler(JsonObject& object, CutlerOptions* options) {
  object.Optional("score_threshold", &options->score_threshold);
  object.Optional("max_detections", &options->max_detections);
}

void ReadPrototype(JsonObject& object, PrototypeOptions* options) {
  object.Optional("num_parts", &options->num_parts);
  object.Optional("kmeans_max_iterations", &options->kmeans_max_iterations);
  object.Optional("kmeans_seed", &options->kmeans_seed);
  object.Optional("mask_source", &options->mask_source);
  ReadPart(object, "maskcut", &ReadMaskCut, &options->maskcut);
  ReadPart(object, "cutler", &ReadCutler, &options->cutler);
  object.Optional("otsu_bins", &options->otsu_bins);
  object.Optional("fallback_background", &options->fallback_background);
  object.Optional("fallback_foreground", &options->fallback_foreground);
  object.Optional("cut_by_attribution", &options->cut_by_attribution);
  object.Optional("cell_rule", &options->cell_rule);
  object.Optional("min_cell_coverage", &options->min_cell_coverage);
  object.Optional("prune_share", &options->prune_share);
  object.Optional("normalize_features", &options->normalize_features);
  object.Optional("noise_seed", &options->noise_seed);
  object.Optional("shared_noise", &options->shared_noise);
  object.Optional("spaces", &options->spaces);
}

void ReadPrefilter(JsonObject& object, PrefilterOptions* options) {
  object.Optional("enabled", &options->enabled);
  object.Optional("max_classes", &options->max_classes);
  object.Optional("articles", &options->articles);
}

void ReadWindows(JsonObject& object, WindowOptions* options) {
  object.Optional("short_side", &options->short_side);
  object.Optional("sizes", &options->sizes);
  object.Optional("stride", &options->stride);
  object.Optional("whole_picture", &options->whole_picture);
}

void ReadStuffFilter(JsonObject& object, StuffFilterOptions* options) {
  object.Optional("enabled", &options->enabled);
  object.Optional("threshold", &options->threshold);
  object.Optional("foreground", &options->foreground);
}

void ReadPamr(JsonObject& object, PamrOptions* options) {
  object.Optional("enabled", &options->enabled);
  object.Optional("iterations", &options->iterations);
  object.Optional("dilations", &options->dilations);
}

void ReadSegment(JsonObject& object, SegmentOptions* options) {
  object.Optional("spaces", &options->spaces);
  object.Optional("space_weights", &options->space_weights);
  object.Optional("use_background", &options->use_background);
  object.Optional("background_threshold", &options->background_threshold);
  object.Optional("use_class_level", &options->use_class_level);
  object.Optional("use_instance_level", &options->use_instance_level);
  object.Optional("use_part_level", &options->use_part_level);
  object.Optional("noise_seed", &options->noise_seed);
  ReadPart(object, "stuff_filter", &ReadStuffFilter, &options->stuff_filter);
  ReadPart(object, "prefilter", &ReadPrefilter, &options->prefilter);
  ReadPart(object, "windows", &ReadWindows, &options->windows);
  ReadPart(object, "pamr", &ReadPamr, &options->pamr);
}

}  // namespace

void ReadOptionOverrides(JsonObject& root, GenerationOptions* generation,
                         PrototypeOptions* prototype, SegmentOptions* segment) {
  const json* child = root.Child("options", /*required=*/false);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": options"));
  ReadPart(object, "generation", &ReadGeneration, generation);
  ReadPart(object, "prototype", &ReadPrototype, prototype);
  ReadPart(object, "segment", &ReadSegment, segment);
  root.Merge(object.Finish());
}

}  // namespace ovdiff::engine
