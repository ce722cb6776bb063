#include "server/request_options.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

absl::Status OptionError(absl::string_view option, int64_t value, int64_t min,
                         int64_t max) {
  const std::string field = absl::StrCat("options.", option);
  return FieldError(field,
                    absl::StrCat(field, " is ", value, "; ", min, " to ", max,
                                 " are allowed"),
                    reasons::kInvalidOption);
}

void ReadGeneration(const v1::BuildOptions& options, GenerationOptions* out) {
  if (options.has_num_pictures()) {
    out->num_pictures = options.num_pictures();
  }
  if (options.has_num_steps()) {
    out->num_steps = options.num_steps();
  }
  if (options.has_guidance_scale()) {
    out->guidance_scale = options.guidance_scale();
  }
  if (options.has_seed()) {
    out->seed = options.seed();
  }
  if (options.has_prompt_template()) {
    out->prompt_template = options.prompt_template();
  }
  if (options.has_negative_prompt()) {
    out->negative_prompt = options.negative_prompt();
  }
  if (options.has_self_attention_rounds()) {
    out->self_attention_rounds = options.self_attention_rounds();
  }
  if (options.has_noise_dtype()) {
    out->noise_dtype = options.noise_dtype();
  }
  if (options.has_final_sigmas_type()) {
    out->final_sigmas_type = options.final_sigmas_type();
  }
}

void ReadPrototype(const v1::BuildOptions& options, PrototypeOptions* out) {
  if (options.has_num_parts()) {
    out->num_parts = options.num_parts();
  }
  if (options.has_mask_source()) {
    out->mask_source = options.mask_source();
  }
  if (options.has_cell_rule()) {
    out->cell_rule = options.cell_rule();
  }
  if (options.has_shared_noise()) {
    out->shared_noise = options.shared_noise();
  }
  if (options.has_prune_share()) {
    out->prune_share = options.prune_share();
  }
  if (options.has_normalize_features()) {
    out->normalize_features = options.normalize_features();
  }
  if (options.has_kmeans_seed()) {
    out->kmeans_seed = options.kmeans_seed();
  }
  if (options.has_kmeans_max_iterations()) {
    out->kmeans_max_iterations = options.kmeans_max_iterations();
  }
  if (options.has_otsu_bins()) {
    out->otsu_bins = options.otsu_bins();
  }
  if (options.has_fallback_background()) {
    out->fallback_background = options.fallback_background();
  }
  if (options.has_fallback_foreground()) {
    out->fallback_foreground = options.fallback_foreground();
  }
  if (options.has_cut_by_attribution()) {
    out->cut_by_attribution = options.cut_by_attribution();
  }
  if (options.has_min_cell_coverage()) {
    out->min_cell_coverage = options.min_cell_coverage();
  }
  if (options.has_noise_seed()) {
    out->noise_seed = options.noise_seed();
  }
  if (options.has_maskcut_affinity_threshold()) {
    out->maskcut.affinity_threshold = options.maskcut_affinity_threshold();
  }
  if (options.has_maskcut_max_masks()) {
    out->maskcut.max_masks = options.maskcut_max_masks();
  }
  if (options.has_cutler_score_threshold()) {
    out->cutler.score_threshold = options.cutler_score_threshold();
  }
  if (options.has_cutler_max_detections()) {
    out->cutler.max_detections = options.cutler_max_detections();
  }
  if (options.spaces_size() > 0) {
    out->spaces.assign(options.spaces().begin(), options.spaces().end());
  }
}

void WriteGeneration(const GenerationOptions& generation,
                     v1::BuildOptions* out) {
  out->set_num_pictures(generation.num_pictures);
  out->set_num_steps(generation.num_steps);
  out->set_guidance_scale(generation.guidance_scale);
  out->set_seed(generation.seed);
  out->set_prompt_template(generation.prompt_template);
  out->set_negative_prompt(generation.negative_prompt);
  out->set_self_attention_rounds(generation.self_attention_rounds);
  out->set_noise_dtype(generation.noise_dtype);
  out->set_final_sigmas_type(generation.final_sigmas_type);
}

void WritePrototype(const PrototypeOptions& prototype, v1::BuildOptions* out) {
  out->set_num_parts(prototype.num_parts);
  out->set_mask_source(prototype.mask_source);
  out->set_cell_rule(prototype.cell_rule);
  out->set_shared_noise(prototype.shared_noise);
  out->set_prune_share(prototype.prune_share);
  out->set_normalize_features(prototype.normalize_features);
  out->set_kmeans_seed(prototype.kmeans_seed);
  out->set_kmeans_max_iterations(prototype.kmeans_max_iterations);
  out->set_otsu_bins(prototype.otsu_bins);
  out->set_fallback_background(prototype.fallback_background);
  out->set_fallback_foreground(prototype.fallback_foreground);
  out->set_cut_by_attribution(prototype.cut_by_attribution);
  out->set_min_cell_coverage(prototype.min_cell_coverage);
  out->set_noise_seed(prototype.noise_seed);
  out->set_maskcut_affinity_threshold(prototype.maskcut.affinity_threshold);
  out->set_maskcut_max_masks(prototype.maskcut.max_masks);
  out->set_cutler_score_threshold(prototype.cutler.score_threshold);
  out->set_cutler_max_detections(prototype.cutler.max_detections);
}

void ReadWindows(const v1::SegmentOptions& options, WindowOptions* out) {
  if (options.has_short_side()) {
    out->short_side = options.short_side();
  }
  if (options.window_sizes_size() > 0) {
    out->sizes.assign(options.window_sizes().begin(),
                      options.window_sizes().end());
  }
  if (options.has_window_stride()) {
    out->stride = options.window_stride();
  }
  if (options.has_whole_picture()) {
    out->whole_picture = options.whole_picture();
  }
}

// Stuff filter and PAMR.
void ReadRefinements(const v1::SegmentOptions& options, SegmentOptions* out) {
  if (options.has_use_stuff_filter()) {
    out->stuff_filter.enabled = options.use_stuff_filter();
  }
  if (options.has_stuff_filter_threshold()) {
    out->stuff_filter.threshold = options.stuff_filter_threshold();
  }
  if (options.has_stuff_filter_foreground()) {
    out->stuff_filter.foreground = options.stuff_filter_foreground();
  }
  if (options.has_use_pamr()) {
    out->pamr.enabled = options.use_pamr();
  }
  if (options.has_pamr_iterations()) {
    out->pamr.iterations = options.pamr_iterations();
  }
  if (options.pamr_dilations_size() > 0) {
    out->pamr.dilations.assign(options.pamr_dilations().begin(),
                               options.pamr_dilations().end());
  }
}

}  // namespace

absl::StatusOr<const MethodProfile*> FindProfile(
    const std::string& name, const engine::EngineInfo& info) {
  const std::string& wanted = name.empty() ? info.default_profile : name;
  std::vector<std::string> names;
  for (const MethodProfile& profile : info.profiles) {
    if (profile.name == wanted) {
      return &profile;
    }
    names.push_back(profile.name);
  }
  return FieldError(
      "profile",
      absl::StrCat("profile ", Quoted(name), " does not exist; there are ",
                   absl::StrJoin(names, ", ")),
      reasons::kInvalidOption);
}

ResolvedBuildOptions ToBuildOptions(const v1::BuildOptions& options,
                                    const MethodProfile& profile) {
  ResolvedBuildOptions out{profile.generation, profile.prototype};
  ReadGeneration(options, &out.generation);
  ReadPrototype(options, &out.prototype);
  return out;
}

v1::BuildOptions FromBuildOptions(const ResolvedBuildOptions& options,
                                  const engine::EngineInfo& info) {
  v1::BuildOptions out;
  WriteGeneration(options.generation, &out);
  WritePrototype(options.prototype, &out);
  for (const std::string& space : options.prototype.spaces.empty()
                                      ? info.spaces
                                      : options.prototype.spaces) {
    out.add_spaces(space);
  }
  return out;
}

absl::Status ValidateBuildOptions(const ResolvedBuildOptions& options,
                                  const engine::Engine& engine,
                                  const Limits& limits) {
  const GenerationOptions& generation = options.generation;
  if (generation.num_pictures < 1 ||
      generation.num_pictures > limits.max_pictures) {
    return OptionError("num_pictures", generation.num_pictures, 1,
                       limits.max_pictures);
  }
  if (generation.num_steps < 1 || generation.num_steps > limits.max_steps) {
    return OptionError("num_steps", generation.num_steps, 1, limits.max_steps);
  }
  OVDIFF_RETURN_IF_ERROR(WithField(engine.Validate(generation), "options",
                                   reasons::kInvalidOption));
  return WithField(engine.Validate(options.prototype), "options",
                   reasons::kInvalidOption);
}

absl::StatusOr<SegmentOptions> ToSegmentOptions(
    const std::string& profile, const v1::SegmentOptions& options,
    const engine::Engine& engine) {
  OVDIFF_ASSIGN_OR_RETURN(const MethodProfile* base,
                          FindProfile(profile, engine.info()));
  SegmentOptions out = base->segment;
  if (options.spaces_size() > 0) {
    out.spaces.assign(options.spaces().begin(), options.spaces().end());
  }
  if (options.has_use_background()) {
    out.use_background = options.use_background();
  }
  if (options.has_background_threshold()) {
    out.background_threshold = options.background_threshold();
  }
  if (options.has_use_prefilter()) {
    out.prefilter.enabled = options.use_prefilter();
  }
  if (options.has_prefilter_max_classes()) {
    out.prefilter.max_classes = options.prefilter_max_classes();
  }
  if (options.has_prefilter_articles()) {
    out.prefilter.articles = options.prefilter_articles();
  }
  if (options.space_weights_size() > 0) {
    out.space_weights.clear();
    out.space_weights.insert(options.space_weights().begin(),
                             options.space_weights().end());
  }
  ReadWindows(options, &out.windows);
  if (options.has_use_class_level()) {
    out.use_class_level = options.use_class_level();
  }
  if (options.has_use_instance_level()) {
    out.use_instance_level = options.use_instance_level();
  }
  if (options.has_use_part_level()) {
    out.use_part_level = options.use_part_level();
  }
  if (options.has_noise_seed()) {
    out.noise_seed = options.noise_seed();
  }
  ReadRefinements(options, &out);
  OVDIFF_RETURN_IF_ERROR(
      WithField(engine.Validate(out), "options", reasons::kInvalidOption));
  return out;
}

v1::SegmentOptions FromSegmentOptions(const SegmentOptions& options,
                                      const engine::EngineInfo& info) {
  v1::SegmentOptions out;
  for (const std::string& space :
       options.spaces.empty() ? info.spaces : options.spaces) {
    out.add_spaces(space);
  }
  out.set_use_background(options.use_background);
  out.set_background_threshold(options.background_threshold);
  out.set_use_prefilter(options.prefilter.enabled);
  out.set_prefilter_max_classes(options.prefilter.max_classes);
  out.set_prefilter_articles(options.prefilter.articles);
  for (const std::string& space : info.spaces) {
    const auto weight = options.space_weights.find(space);
    (*out.mutable_space_weights())[space] =
        weight == options.space_weights.end() ? 1.0 : weight->second;
  }
  const WindowOptions& windows = options.windows;
  out.set_short_side(windows.short_side > 0 ? windows.short_side
                                            : info.windows.short_side);
  for (const int size :
       windows.sizes.empty() ? info.windows.sizes : windows.sizes) {
    out.add_window_sizes(size);
  }
  out.set_window_stride(windows.stride > 0 ? windows.stride
                                           : info.windows.stride);
  out.set_whole_picture(windows.whole_picture);
  out.set_use_class_level(options.use_class_level);
  out.set_use_instance_level(options.use_instance_level);
  out.set_use_part_level(options.use_part_level);
  out.set_noise_seed(options.noise_seed);
  out.set_use_stuff_filter(options.stuff_filter.enabled);
  out.set_stuff_filter_threshold(options.stuff_filter.threshold);
  out.set_stuff_filter_foreground(options.stuff_filter.foreground);
  out.set_use_pamr(options.pamr.enabled);
  out.set_pamr_iterations(options.pamr.iterations);
  out.mutable_pamr_dilations()->Assign(options.pamr.dilations.begin(),
                                       options.pamr.dilations.end());
  return out;
}

v1::Profile FromProfile(const MethodProfile& profile,
                        const engine::EngineInfo& info) {
  v1::Profile out;
  out.set_name(profile.name);
  out.set_description(profile.description);
  out.set_unavailable(profile.unavailable);
  *out.mutable_build_options() =
      FromBuildOptions({profile.generation, profile.prototype}, info);
  *out.mutable_segment_options() = FromSegmentOptions(profile.segment, info);
  return out;
}

}  // namespace ovdiff::server
