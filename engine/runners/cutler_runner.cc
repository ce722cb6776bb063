#include "engine/runners/cutler_runner.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/base/status_macros.h"
#include "engine/ops/boxes.h"
#include "engine/ops/mask_paste.h"
#include "engine/ops/resample.h"
#include "engine/runners/load_network.h"
#include "engine/runners/picture_tensor.h"
#include "engine/weights/key_map.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr double kMaxMaskPixels = 1 << 20;

// torchvision's Resize(short_side, max_size=max_long_side), which cuts.
ImageSize InputSizeOf(ImageSize picture, const CutlerSpec& spec) {
  ImageSize size = ShortSideSize(picture, spec.short_side);
  int& long_side = size.width > size.height ? size.width : size.height;
  int& short_side = size.width > size.height ? size.height : size.width;
  if (long_side > spec.max_long_side) {
    short_side =
        std::max<int>(1, static_cast<int>(int64_t{1} * spec.max_long_side *
                                          short_side / long_side));
    long_side = spec.max_long_side;
  }
  return size;
}

ImageSize MaskSizeOf(ImageSize picture) {
  const double pixels = 1.0 * picture.width * picture.height;
  if (pixels <= kMaxMaskPixels) {
    return picture;
  }
  const double scale = std::sqrt(kMaxMaskPixels / pixels);
  return {.width = std::max(1, static_cast<int>(picture.width * scale)),
          .height = std::max(1, static_cast<int>(picture.height * scale))};
}

// Boxes on a grid of `from` cells, on one of `to` cells over the same picture.
torch::Tensor Rescale(const torch::Tensor& boxes, ImageSize from,
                      ImageSize to) {
  const double x = static_cast<double>(to.width) / from.width;
  const double y = static_cast<double>(to.height) / from.height;
  return boxes * torch::tensor({x, y, x, y}, torch::kFloat32);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CutlerRunner>> CutlerRunner::Create(
    const CutlerSpec& spec, const ComputeDevice& device) {
  OVDIFF_ASSIGN_OR_RETURN(CascadeRcnn network,
                          (LoadNetwork<CascadeRcnn, CascadeRcnnConfig>(
                              {.what = "cutler",
                               .folder = spec.folder,
                               .stem = "model",
                               .ignore = IgnoredCascadeRcnnKeys()},
                              device.device(), torch::kFloat32)));
  return std::make_unique<CutlerRunner>(spec, std::move(network),
                                        device.device());
}

absl::StatusOr<Detections> CutlerRunner::Detect(
    const Image& picture, const CutlerOptions& options) const {
  const ImageSize size{.width = picture.width, .height = picture.height};
  const ImageSize input = InputSizeOf(size, spec_);
  const torch::Tensor pixels = torch::upsample_bilinear2d(
      ToTensor(picture).to(device_), {input.height, input.width},
      /*align_corners=*/false);
  OVDIFF_ASSIGN_OR_RETURN(
      Detections found,
      network_->Detect(Normalize(pixels, spec_.normalization),
                       {.score_threshold = options.score_threshold,
                        .max_detections = options.max_detections}));
  found.boxes =
      ClipBoxes(Rescale(found.boxes, input, size), size.width, size.height);
  const torch::Tensor kept =
      torch::nonzero(NonEmptyBoxes(found.boxes)).flatten();
  found.boxes = found.boxes.index_select(0, kept);
  found.scores = found.scores.index_select(0, kept);
  found.masks = found.masks.index_select(0, kept.to(found.masks.device()));
  return found;
}

absl::StatusOr<torch::Tensor> CutlerRunner::Propose(
    const Image& picture, const PrototypeOptions& options) const {
  OVDIFF_ASSIGN_OR_RETURN(const Detections found,
                          Detect(picture, options.cutler));
  const ImageSize size{.width = picture.width, .height = picture.height};
  const ImageSize masks = MaskSizeOf(size);
  return PasteMasks(found.masks, Rescale(found.boxes, size, masks),
                    masks.height, masks.width);
}

}  // namespace ovdiff::engine
