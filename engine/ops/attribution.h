// Attribution of a class's tokens to latent cells, from cross-attention
// probabilities, and the masks made of it (method.md section 2).
#ifndef OVDIFF_ENGINE_OPS_ATTRIBUTION_H_
#define OVDIFF_ENGINE_OPS_ATTRIBUTION_H_

#include <cstdint>

#include "engine/ops/multi_otsu.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Running mean of cross-attention maps over layers, heads, steps and tokens.
// Each head's map is resized alone (bicubic, a = -0.75, align_corners = false)
// and clamped at 0 before it is summed: order matters for parity.
// Thread-compatible.
class AttributionAccumulator {
 public:
  // [height, width]: the largest latent grid, that of the first layer. >= 1
  AttributionAccumulator(int64_t height, int64_t width);

  // `probabilities`: [B, heads, h * w, T], any float dtype: the conditional
  // half's post-softmax columns of the class's T tokens. B and T are the same
  // in each call.
  void Add(const torch::Tensor& probabilities, int64_t h, int64_t w);

  // [B, height, width] float32, >= 0, on the device of the input.
  // REQUIRES: Add() was called.
  torch::Tensor Finish() const;

 private:
  int64_t height_;
  int64_t width_;
  int64_t num_maps_ = 0;  // heads x layers x steps x tokens
  torch::Tensor sum_;     // [B, height, width] float32
};

// Each picture of `maps` [N, h, w] stretched to 0…1: (map - min) / (max - min),
// the divisor at least 1e-6. A flat map becomes all 0: no foreground.
torch::Tensor StretchToUnit(const torch::Tensor& maps);

// `maps` [N, h, w] float32, 0…1, resized bilinear (align_corners = false) to
// [N, height, width] and stretched once more: what thresholds are applied to.
torch::Tensor ResizeAndStretch(const torch::Tensor& maps, int64_t height,
                               int64_t width);

struct AttributionMasks {
  torch::Tensor foreground;  // [N, H, W] bool: map > upper
  torch::Tensor background;  // [N, H, W] bool: map < lower; between is neither
};

// Thresholds `maps` [N, H, W], 0…1. A flat (all 0) map has no foreground and is
// background everywhere (if lower > 0).
AttributionMasks ThresholdMaps(const torch::Tensor& maps,
                               const OtsuThresholds& thresholds);

// [N, H, W] bool -> [N, grid_h, grid_w] bool: cells of which at least
// `min_coverage` (0…1) of the area, and more than nothing, is inside the mask.
torch::Tensor MaskToGrid(const torch::Tensor& mask, int64_t grid_h,
                         int64_t grid_w, double min_coverage);

// As above, but cells where bilinear resizing (align_corners = false, without
// antialiasing) of the mask leaves anything: four pixels decide, one is enough
// (the official program's rule; method.md 14.4).
torch::Tensor MaskToGridBilinear(const torch::Tensor& mask, int64_t grid_h,
                                 int64_t grid_w);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_ATTRIBUTION_H_
