// RoiAlign: features of boxes, each sampled on a grid of the same size (He et
// al., "Mask R-CNN", 2017), as detectron2's ROIAlignV2 and torchvision's
// roi_align(aligned=True) do it (networks.md 6.1).
#ifndef OVDIFF_ENGINE_OPS_ROI_ALIGN_H_
#define OVDIFF_ENGINE_OPS_ROI_ALIGN_H_

#include <cstdint>

#include "torch/types.h"

namespace ovdiff::engine {

// Each box is cut into resolution x resolution bins; a bin's value is the mean
// of ceil(box side / resolution) samples an axis, spread evenly over the bin.
// A sample is bilinear between the centres of cells (that of cell 0 is at 0.5
// pixels of the map); up to one cell outside it takes the border's value,
// further out it is 0.
//
// `features`: float32 [H, W, C], contiguous, any device. `boxes`: [K, 4] as in
// boxes.h, finite; `scale` brings their pixels to cells. Returns float32
// [K, C, resolution, resolution] on the features' device. Beside the result,
// memory is bounded by what some hundred boxes sample. Thread-safe; throws what
// torch throws.
torch::Tensor RoiAlign(const torch::Tensor& features,
                       const torch::Tensor& boxes, double scale,
                       int64_t resolution);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_ROI_ALIGN_H_
