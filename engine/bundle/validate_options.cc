#include "engine/bundle/validate_options.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

constexpr int kMaxShortSide = 2048;      // pixels
constexpr size_t kMaxTextLength = 1000;  // characters of template, negative
constexpr size_t kMaxWindowSizes = 8;
constexpr size_t kMaxDilations = 8;
constexpr double kMaxSpaceWeight = 100;

// Inclusive bounds; a NaN is outside all of them.
template <typename T>
absl::Status InRange(const char* name, T value, T low, T high) {
  if (value >= low && value <= high) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; allowed are ", low, " to ", high));
}

absl::Status OneOf(const char* name, const std::string& value,
                   const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is \"", value, "\"; allowed are ", absl::StrJoin(allowed, ", ")));
}

absl::Status ValidateTemplate(const std::string& text) {
  const size_t slot = text.find(kTemplateSlot);
  if (slot == std::string::npos ||
      text.find(kTemplateSlot, slot + 1) != std::string::npos ||
      text.size() > kMaxTextLength) {
    return absl::InvalidArgumentError(absl::StrCat(
        "generation.prompt_template must hold {} once, where the class goes, "
        "and at most ",
        kMaxTextLength, " bytes; found \"", text.substr(0, 80), "\""));
  }
  return absl::OkStatus();
}

std::vector<std::string> SpaceNames(const Bundle& bundle) {
  std::vector<std::string> names;
  for (const SpaceSpec& space : bundle.spaces) {
    names.push_back(space.name);
  }
  return names;
}

absl::Status ValidateSpaces(const char* name,
                            const std::vector<std::string>& spaces,
                            const Bundle& bundle) {
  std::set<std::string> seen;
  for (const std::string& space : spaces) {
    OVDIFF_RETURN_IF_ERROR(OneOf(name, space, SpaceNames(bundle)));
    if (!seen.insert(space).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " has \"", space, "\" twice"));
    }
  }
  return absl::OkStatus();
}

// `what`: what the source lacks in this bundle, and `remedy`: how to have it.
absl::Status NoSuchMasks(const std::string& source, const Bundle& bundle,
                         const char* what, const char* remedy) {
  std::string allowed = kAttentionMasks;
  if (bundle.maskcut.has_value()) {
    absl::StrAppend(&allowed, ", ", kMaskCutMasks);
  }
  if (bundle.cutler.has_value()) {
    absl::StrAppend(&allowed, ", ", kCutlerMasks);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("prototype.mask_source is \"", source, "\", but bundle ",
                   bundle.name, " does not ", what, "; allowed with it is ",
                   allowed, ". To have it, ", remedy, " under \"", source,
                   "\" in bundle.json (deploy/bundles/README.md)"));
}

// What the bundle's networks can make masks with.
absl::Status ValidateMaskSource(const PrototypeOptions& options,
                                const Bundle& bundle) {
  OVDIFF_RETURN_IF_ERROR(OneOf("prototype.mask_source", options.mask_source,
                               {kAttentionMasks, kMaskCutMasks, kCutlerMasks}));
  if (options.mask_source == kMaskCutMasks && !bundle.maskcut.has_value()) {
    return NoSuchMasks(kMaskCutMasks, bundle, "say what cuts",
                       "name a space of type vit");
  }
  if (options.mask_source == kCutlerMasks && !bundle.cutler.has_value()) {
    return NoSuchMasks(kCutlerMasks, bundle, "have CutLER's weights",
                       "name the folder of its weights");
  }
  const MaskCutOptions& maskcut = options.maskcut;
  if (!(maskcut.affinity_threshold > -1 && maskcut.affinity_threshold < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prototype.maskcut.affinity_threshold is ", maskcut.affinity_threshold,
        "; allowed are above -1 and below 1"));
  }
  OVDIFF_RETURN_IF_ERROR(
      InRange("prototype.maskcut.max_masks", maskcut.max_masks, 1, 16));
  OVDIFF_RETURN_IF_ERROR(InRange("prototype.cutler.score_threshold",
                                 options.cutler.score_threshold, 0.0, 1.0));
  return InRange("prototype.cutler.max_detections",
                 options.cutler.max_detections, 1, 1000);
}

absl::Status ValidateSpaceWeights(const std::map<std::string, double>& weights,
                                  const Bundle& bundle) {
  for (const auto& [space, weight] : weights) {
    OVDIFF_RETURN_IF_ERROR(
        OneOf("segment.space_weights", space, SpaceNames(bundle)));
    if (!(weight > 0 && weight <= kMaxSpaceWeight)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "segment.space_weights has ", weight, " for ", space,
          "; allowed are above 0 to ", kMaxSpaceWeight,
          "; to leave a space out, do not name it in segment.spaces"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidatePamr(const PamrOptions& pamr) {
  OVDIFF_RETURN_IF_ERROR(
      InRange("segment.pamr.iterations", pamr.iterations, 1, 50));
  // Memory and time grow with their number.
  if (pamr.dilations.empty() || pamr.dilations.size() > kMaxDilations) {
    return absl::InvalidArgumentError(
        absl::StrCat("segment.pamr.dilations has ", pamr.dilations.size(),
                     " entries; allowed are 1 to ", kMaxDilations));
  }
  for (const int dilation : pamr.dilations) {
    OVDIFF_RETURN_IF_ERROR(InRange("segment.pamr.dilations", dilation, 1, 64));
  }
  return absl::OkStatus();
}

absl::Status ValidateWindows(const WindowOptions& windows) {
  OVDIFF_RETURN_IF_ERROR(InRange("segment.windows.short_side",
                                 windows.short_side, 1, kMaxShortSide));
  // A stride of 1/8 of the window already means 64 looks at every pixel.
  OVDIFF_RETURN_IF_ERROR(
      InRange("segment.windows.stride", windows.stride, 1, kMaxShortSide));
  if (windows.sizes.size() > kMaxWindowSizes) {
    return absl::InvalidArgumentError(
        absl::StrCat("segment.windows.sizes has ", windows.sizes.size(),
                     " entries; allowed are ", kMaxWindowSizes));
  }
  for (const int size : windows.sizes) {
    OVDIFF_RETURN_IF_ERROR(InRange("segment.windows.sizes", size,
                                   std::min(8, windows.short_side),
                                   windows.short_side));
    if (windows.stride < (size + 7) / 8) {
      return absl::InvalidArgumentError(
          absl::StrCat("segment.windows.stride is ", windows.stride,
                       "; allowed for windows of ", size, " pixels are ",
                       (size + 7) / 8, " and more"));
    }
  }
  if (windows.sizes.empty() && !windows.whole_picture) {
    return absl::InvalidArgumentError(
        "segment.windows has no sizes and whole_picture is off: nothing to "
        "look at");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateOptions(const GenerationOptions& options) {
  OVDIFF_RETURN_IF_ERROR(
      InRange("generation.num_pictures", options.num_pictures, 1, 256));
  OVDIFF_RETURN_IF_ERROR(
      InRange("generation.num_steps", options.num_steps, 1, 1000));
  OVDIFF_RETURN_IF_ERROR(InRange("generation.self_attention_rounds",
                                 options.self_attention_rounds, 0, 8));
  OVDIFF_RETURN_IF_ERROR(
      InRange("generation.guidance_scale", options.guidance_scale, 0.0, 100.0));
  OVDIFF_RETURN_IF_ERROR(
      InRange("generation.batch_size", options.batch_size, 1, 256));
  OVDIFF_RETURN_IF_ERROR(OneOf("generation.noise_dtype", options.noise_dtype,
                               {"float32", "float16"}));
  OVDIFF_RETURN_IF_ERROR(OneOf("generation.final_sigmas_type",
                               options.final_sigmas_type,
                               {"sigma_min", "zero"}));
  if (options.negative_prompt.size() > kMaxTextLength) {
    return absl::InvalidArgumentError(absl::StrCat(
        "generation.negative_prompt has ", options.negative_prompt.size(),
        " bytes; allowed are ", kMaxTextLength));
  }
  return ValidateTemplate(options.prompt_template);
}

absl::Status ValidateOptions(const PrototypeOptions& options,
                             const Bundle& bundle) {
  OVDIFF_RETURN_IF_ERROR(
      InRange("prototype.num_parts", options.num_parts, 1, 256));
  OVDIFF_RETURN_IF_ERROR(InRange("prototype.kmeans_max_iterations",
                                 options.kmeans_max_iterations, 1, 10000));
  OVDIFF_RETURN_IF_ERROR(ValidateMaskSource(options, bundle));
  // Three classes need three bins.
  OVDIFF_RETURN_IF_ERROR(
      InRange("prototype.otsu_bins", options.otsu_bins, 3, 4096));
  OVDIFF_RETURN_IF_ERROR(InRange("prototype.fallback_background",
                                 options.fallback_background, 0.0, 1.0));
  OVDIFF_RETURN_IF_ERROR(InRange("prototype.fallback_foreground",
                                 options.fallback_foreground,
                                 options.fallback_background, 1.0));
  if (!(options.min_cell_coverage > 0 && options.min_cell_coverage <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("prototype.min_cell_coverage is ",
                     options.min_cell_coverage, "; allowed are above 0 to 1"));
  }
  OVDIFF_RETURN_IF_ERROR(OneOf("prototype.cell_rule", options.cell_rule,
                               {kCoverageCells, kBilinearCells}));
  if (!(options.prune_share >= 0 && options.prune_share < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("prototype.prune_share is ", options.prune_share,
                     "; allowed are 0 up to but not 1"));
  }
  return ValidateSpaces("prototype.spaces", options.spaces, bundle);
}

absl::Status ValidateOptions(const SegmentOptions& options,
                             const Bundle& bundle) {
  OVDIFF_RETURN_IF_ERROR(
      ValidateSpaces("segment.spaces", options.spaces, bundle));
  OVDIFF_RETURN_IF_ERROR(ValidateSpaceWeights(options.space_weights, bundle));
  OVDIFF_RETURN_IF_ERROR(InRange("segment.background_threshold",
                                 options.background_threshold, -1.0, 1.0));
  OVDIFF_RETURN_IF_ERROR(InRange("segment.stuff_filter.threshold",
                                 options.stuff_filter.threshold, -1.0, 1.0));
  OVDIFF_RETURN_IF_ERROR(InRange("segment.prefilter.max_classes",
                                 options.prefilter.max_classes, 1, 12));
  if (!options.use_class_level && !options.use_instance_level &&
      !options.use_part_level) {
    return absl::InvalidArgumentError(
        "segment has use_class_level, use_instance_level and use_part_level "
        "all off; switch at least one on");
  }
  OVDIFF_RETURN_IF_ERROR(ValidatePamr(options.pamr));
  return ValidateWindows(ResolveWindows(options.windows, bundle));
}

WindowOptions ResolveWindows(const WindowOptions& windows,
                             const Bundle& bundle) {
  WindowOptions resolved = windows;
  if (resolved.short_side == 0) {
    resolved.short_side = bundle.windows.short_side;
  }
  if (resolved.sizes.empty()) {
    resolved.sizes = bundle.windows.sizes;
  }
  for (int& size : resolved.sizes) {
    size = size == 0 ? resolved.short_side : size;
  }
  if (resolved.stride == 0) {
    resolved.stride = bundle.windows.stride;
  }
  return resolved;
}

std::vector<std::string> ResolveSpaces(
    const std::vector<std::string>& requested, const Bundle& bundle) {
  std::vector<std::string> spaces;
  for (const SpaceSpec& space : bundle.spaces) {
    const bool named = std::find(requested.begin(), requested.end(),
                                 space.name) != requested.end();
    if (requested.empty() ? !space.optional : named) {
      spaces.push_back(space.name);
    }
  }
  return spaces;
}

}  // namespace ovdiff::engine
