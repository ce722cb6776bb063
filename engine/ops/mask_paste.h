// PasteMasks: masks of boxes as masks of the picture (detectron2's
// paste_masks_in_image; networks.md 6.1).
#ifndef OVDIFF_ENGINE_OPS_MASK_PASTE_H_
#define OVDIFF_ENGINE_OPS_MASK_PASTE_H_

#include <cstdint>

#include "torch/types.h"

namespace ovdiff::engine {

// A pixel is inside where the box's mask, bilinear at the pixel's centre and 0
// beyond the mask's border, is at least 0.5 (grid_sample with zeros,
// align_corners false).
// `masks`: float32 [M, h, w], any device, over the boxes' whole extent.
// `boxes`: [M, 4] as in boxes.h, none empty. Returns bool [M, height, width] on
// the CPU; M may be 0. Throws what torch throws. Thread-safe.
torch::Tensor PasteMasks(const torch::Tensor& masks, const torch::Tensor& boxes,
                         int64_t height, int64_t width);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_MASK_PASTE_H_
