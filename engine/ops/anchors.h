// Anchor boxes of a region proposal network (Ren et al., "Faster R-CNN", 2015;
// detectron2's DefaultAnchorGenerator with offset 0; networks.md 6.1).
#ifndef OVDIFF_ENGINE_OPS_ANCHORS_H_
#define OVDIFF_ENGINE_OPS_ANCHORS_H_

#include <cstdint>
#include <vector>

#include "torch/types.h"

namespace ovdiff::engine {

// The boxes of one feature map: around each cell (y, x), whose centre is
// (x * stride, y * stride) pixels, one of area size^2 for each ratio h / w.
// float32 [height * width * ratios, 4] on the CPU, x0 y0 x1 y1, in the order
// (y, x, ratio). REQUIRES: all numbers > 0. Thread-safe.
torch::Tensor GridAnchors(int64_t height, int64_t width, int64_t stride,
                          double size, const std::vector<double>& ratios);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_ANCHORS_H_
