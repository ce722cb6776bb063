#include "engine/pipeline/support_masks.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/ops/mask_selection.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

absl::Status CheckMap(const AttributionMap& map, const AttributionMap& first,
                      size_t index) {
  const size_t cells =
      static_cast<size_t>(std::max(map.width, 0)) * std::max(map.height, 0);
  if (cells == 0 || map.data.size() != cells || map.width != first.width ||
      map.height != first.height) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribution map ", index, " of the support set is ",
                     map.width, "x", map.height, " with ", map.data.size(),
                     " values; all must be as the "
                     "first, ",
                     first.width, "x", first.height, ", and not empty"));
  }
  for (const float value : map.data) {
    if (!std::isfinite(value) || value < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribution map ", index, " holds ", value,
                       "; values must be finite and not below 0"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<torch::Tensor> StackMaps(const SupportSet& support) {
  if (support.pictures.empty()) {
    return absl::InvalidArgumentError("the support set has no picture");
  }
  const AttributionMap& first = support.pictures.front().attribution;
  for (size_t i = 0; i < support.pictures.size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(CheckMap(support.pictures[i].attribution, first, i));
  }
  torch::Tensor maps =
      torch::empty({static_cast<int64_t>(support.pictures.size()), first.height,
                    first.width},
                   torch::kFloat32);
  float* out = maps.data_ptr<float>();
  for (const SupportPicture& picture : support.pictures) {
    out = std::copy(picture.attribution.data.begin(),
                    picture.attribution.data.end(), out);
  }
  return maps;
}

// Where maps say nothing themselves.
OtsuThresholds FallbackThresholds(const PrototypeOptions& options) {
  return {static_cast<float>(options.fallback_background),
          static_cast<float>(options.fallback_foreground)};
}

// [M, h, w] bool -> [M, side, side] bool, each pixel that of the cell it is in.
torch::Tensor ToPixels(const torch::Tensor& proposals, int side) {
  if (proposals.size(0) == 0) {
    return torch::zeros({0, side, side}, torch::kBool);
  }
  return at::upsample_nearest2d(proposals.to(torch::kFloat32).unsqueeze(0),
                                {side, side})
      .squeeze(0)
      .to(torch::kBool);
}

}  // namespace

absl::StatusOr<SupportMasks> MakeSupportMasks(const SupportSet& support,
                                              const PrototypeOptions& options,
                                              int side) {
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor raw, StackMaps(support));
  const torch::Tensor maps = StretchToUnit(raw).contiguous();
  SupportMasks result;
  const auto thresholds = MultiOtsuThresholds(
      absl::MakeConstSpan(maps.data_ptr<float>(),
                          static_cast<size_t>(maps.numel())),
      options.otsu_bins);
  if (thresholds.ok()) {
    result.thresholds = *thresholds;
  } else if (absl::IsFailedPrecondition(thresholds.status())) {
    result.used_fallback = true;
    result.thresholds = FallbackThresholds(options);
  } else {
    return thresholds.status();
  }
  result.masks =
      ThresholdMaps(ResizeAndStretch(maps, side, side), result.thresholds);
  return result;
}

absl::StatusOr<SupportMasks> ChooseSupportMasks(
    const SupportSet& support, const std::vector<torch::Tensor>& proposals,
    const PrototypeOptions& options, int side) {
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor raw, StackMaps(support));
  if (proposals.size() != support.pictures.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there are proposals for ", proposals.size(), " of ",
        support.pictures.size(), " pictures; each must have its own"));
  }
  const torch::Tensor maps = ResizeAndStretch(StretchToUnit(raw), side, side);
  SupportMasks result;
  result.thresholds = FallbackThresholds(options);
  result.masks = {.foreground = torch::zeros(maps.sizes(), torch::kBool),
                  .background = torch::zeros(maps.sizes(), torch::kBool)};
  for (size_t i = 0; i < proposals.size(); ++i) {
    const auto picture = static_cast<int64_t>(i);
    const SelectedMasks selected =
        SelectMasks(ToPixels(proposals[i], side), maps[picture],
                    {.background_below = options.fallback_background,
                     .foreground_above = options.fallback_foreground});
    result.masks.foreground[picture].copy_(selected.foreground);
    result.masks.background[picture].copy_(selected.background);
    result.used_fallback = result.used_fallback || selected.used_thresholds;
  }
  return result;
}

}  // namespace ovdiff::engine
