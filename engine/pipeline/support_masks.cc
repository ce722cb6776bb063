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

// The maps [M, h, w] of the pictures `indices`.
absl::StatusOr<torch::Tensor> StackMaps(const SupportSet& support,
                                        const std::vector<int64_t>& indices) {
  const AttributionMap& first = support.pictures[indices[0]].attribution;
  for (const int64_t i : indices) {
    OVDIFF_RETURN_IF_ERROR(CheckMap(support.pictures[i].attribution, first, i));
  }
  torch::Tensor maps = torch::empty(
      {static_cast<int64_t>(indices.size()), first.height, first.width},
      torch::kFloat32);
  float* out = maps.data_ptr<float>();
  for (const int64_t i : indices) {
    const std::vector<float>& data = support.pictures[i].attribution.data;
    out = std::copy(data.begin(), data.end(), out);
  }
  return maps;
}

// The given mask of picture `index` at `side` pixels.
absl::Status TakeMask(const SupportPicture& picture, int64_t index, int side,
                      AttributionMasks* masks) {
  const Image& image = picture.image;
  if (picture.mask.size() !=
      static_cast<size_t>(image.width) * static_cast<size_t>(image.height)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the mask of support picture ", index, " has ", picture.mask.size(),
        " values; its picture of ", image.width, "x", image.height,
        " pixels needs one for each"));
  }
  torch::Tensor mask =
      torch::empty({1, image.height, image.width}, torch::kBool);
  std::transform(picture.mask.begin(), picture.mask.end(),
                 mask.data_ptr<bool>(),
                 [](uint8_t value) { return value != 0; });
  if (!mask.any().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat("support picture ", index,
                     ": its mask has no object pixel; mark the object, or give "
                     "no mask"));
  }
  const torch::Tensor touched =
      at::adaptive_avg_pool2d(mask.to(torch::kFloat32), {side, side}) > 0;
  torch::Tensor object = MaskToGrid(mask, side, side, /*min_coverage=*/0.5);
  if (!object.any().item<bool>()) {
    object = touched;  // A thin object: what it touches is all there is of it.
  }
  masks->foreground[index].copy_(object[0]);
  masks->background[index].copy_(touched[0].logical_not());
  return absl::OkStatus();
}

// Empty masks but for the pictures that came with theirs.
absl::StatusOr<AttributionMasks> TakeMasks(const SupportSet& support,
                                           int side) {
  if (support.pictures.empty()) {
    return absl::InvalidArgumentError("the support set has no picture");
  }
  const auto count = static_cast<int64_t>(support.pictures.size());
  AttributionMasks masks{
      .foreground = torch::zeros({count, side, side}, torch::kBool),
      .background = torch::zeros({count, side, side}, torch::kBool)};
  for (int64_t i = 0; i < count; ++i) {
    if (!support.pictures[i].mask.empty()) {
      OVDIFF_RETURN_IF_ERROR(TakeMask(support.pictures[i], i, side, &masks));
    }
  }
  return masks;
}

// Where maps say nothing themselves.
OtsuThresholds FallbackThresholds(const PrototypeOptions& options) {
  return {static_cast<float>(options.fallback_background),
          static_cast<float>(options.fallback_foreground)};
}

// Of stretched maps [M, h, w]; FailedPrecondition where they are flat.
absl::StatusOr<OtsuThresholds> SetThresholds(const torch::Tensor& maps,
                                             const PrototypeOptions& options) {
  const torch::Tensor values = maps.contiguous();
  return MultiOtsuThresholds(
      absl::MakeConstSpan(values.data_ptr<float>(),
                          static_cast<size_t>(values.numel())),
      options.otsu_bins);
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

std::vector<int64_t> PicturesWithoutMask(const SupportSet& support) {
  std::vector<int64_t> indices;
  for (size_t i = 0; i < support.pictures.size(); ++i) {
    if (support.pictures[i].mask.empty()) {
      indices.push_back(static_cast<int64_t>(i));
    }
  }
  return indices;
}

absl::StatusOr<SupportMasks> MakeSupportMasks(const SupportSet& support,
                                              const PrototypeOptions& options,
                                              int side) {
  SupportMasks result;
  OVDIFF_ASSIGN_OR_RETURN(result.masks, TakeMasks(support, side));
  const std::vector<int64_t> indices = PicturesWithoutMask(support);
  if (indices.empty()) {
    return result;
  }
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor raw, StackMaps(support, indices));
  const torch::Tensor maps = StretchToUnit(raw);
  const auto thresholds = SetThresholds(maps, options);
  if (thresholds.ok()) {
    result.thresholds = *thresholds;
  } else if (absl::IsFailedPrecondition(thresholds.status())) {
    result.used_fallback = true;
    result.thresholds = FallbackThresholds(options);
  } else {
    return thresholds.status();
  }
  const AttributionMasks masks =
      ThresholdMaps(ResizeAndStretch(maps, side, side), result.thresholds);
  const torch::Tensor rows = torch::tensor(indices, torch::kInt64);
  result.masks.foreground.index_copy_(0, rows, masks.foreground);
  result.masks.background.index_copy_(0, rows, masks.background);
  return result;
}

absl::StatusOr<SupportMasks> ChooseSupportMasks(
    const SupportSet& support, const std::vector<torch::Tensor>& proposals,
    const PrototypeOptions& options, int side) {
  if (proposals.size() != support.pictures.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there are proposals for ", proposals.size(), " of ",
        support.pictures.size(), " pictures; each must have its own"));
  }
  SupportMasks result;
  OVDIFF_ASSIGN_OR_RETURN(result.masks, TakeMasks(support, side));
  const std::vector<int64_t> indices = PicturesWithoutMask(support);
  if (indices.empty()) {
    return result;
  }
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor raw, StackMaps(support, indices));
  const torch::Tensor stretched = StretchToUnit(raw);
  const torch::Tensor maps = ResizeAndStretch(stretched, side, side);
  result.thresholds = FallbackThresholds(options);
  MaskSelectionOptions selection = {
      .background_below = options.fallback_background,
      .foreground_above = options.fallback_foreground,
      .bright_above = std::nullopt};
  if (options.cut_by_attribution) {
    const auto thresholds = SetThresholds(stretched, options);
    if (thresholds.ok()) {
      selection.bright_above = thresholds->upper;
    } else if (!absl::IsFailedPrecondition(thresholds.status())) {
      return thresholds.status();
    }
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t picture = indices[i];
    const SelectedMasks selected =
        SelectMasks(ToPixels(proposals[picture], side),
                    maps[static_cast<int64_t>(i)], selection);
    result.masks.foreground[picture].copy_(selected.foreground);
    result.masks.background[picture].copy_(selected.background);
    result.used_fallback = result.used_fallback || selected.used_thresholds;
  }
  return result;
}

}  // namespace ovdiff::engine
