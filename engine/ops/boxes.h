// Boxes of object detectors: what a network's deltas mean, and which of many
// overlapping boxes stay (detectron2's Box2BoxTransform and Boxes,
// torchvision's nms; networks.md 6.1).
//
// Boxes are float32 [K, 4] on the CPU: x0, y0, x1, y1 in pixels, areas
// (x1 - x0) * (y1 - y0). All functions: K may be 0; thread-safe; they throw
// what torch throws.
#ifndef OVDIFF_ENGINE_OPS_BOXES_H_
#define OVDIFF_ENGINE_OPS_BOXES_H_

#include <array>

#include "torch/types.h"

namespace ovdiff::engine {

// What dx, dy, dw, dh were multiplied by when the network was trained.
using DeltaWeights = std::array<double, 4>;

// `boxes` moved by dx, dy of their sides and stretched by e^dw, e^dh, at most
// 62.5 (1000 / 16) times. `deltas`: float32 [K, 4] on the CPU.
torch::Tensor DecodeBoxes(const torch::Tensor& deltas,
                          const torch::Tensor& boxes,
                          const DeltaWeights& weights);

// Cut to 0…width and 0…height.
torch::Tensor ClipBoxes(const torch::Tensor& boxes, double width,
                        double height);

// bool [K]: width and height are above 0.
torch::Tensor NonEmptyBoxes(const torch::Tensor& boxes);

// Greedy non-maximum suppression: int64 [M], the boxes that no better one
// overlaps by more than `iou_threshold` of their union, best first. Equal
// scores: the lower index is better. `scores`: float32 [K] on the CPU, finite.
// Time grows with K * M.
torch::Tensor SuppressBoxes(const torch::Tensor& boxes,
                            const torch::Tensor& scores, double iou_threshold);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_BOXES_H_
