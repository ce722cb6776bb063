// Position tables of vision transformers, stretched to another grid.
#ifndef OVDIFF_ENGINE_NN_POSITION_INTERPOLATION_H_
#define OVDIFF_ENGINE_NN_POSITION_INTERPOLATION_H_

#include <cstdint>

#include "torch/types.h"

namespace ovdiff::engine {

// Both are bicubic with a = -0.75, borders clamped, align_corners false; they
// differ in the sampling step, and materially in the result (networks.md 2).
enum class PositionInterpolation {
  // transformers, timm: step = g / g' (interpolate to a size).
  kSize,
  // DINO's vision_transformer.py and OVDiff: step = g / (g' + 0.1), the 0.1
  // being their guard against floor() losing a cell.
  kScaleFactor,
};

// The table for an image of height x width pixels, at least one patch each.
//   table  [1 + g*g, D], the class token's row first
//   result [1 + (height / patch) * (width / patch), D], table's dtype
// A square image on the training grid takes the table untouched, as the
// references do.
torch::Tensor InterpolatePositions(const torch::Tensor& table, int64_t height,
                                   int64_t width, int64_t patch_size,
                                   PositionInterpolation rule);

// The index 0…num_layers-1 of `layer`, which may count from the end (-1 is the
// last). TORCH_CHECK that it exists.
int64_t ResolveLayer(int64_t layer, int64_t num_layers);

// Rows [B, 1 + gh*gw, D] without the class token as a map [B, D, gh, gw]; a
// view.
torch::Tensor PatchRowsToMap(const torch::Tensor& rows, int64_t grid_height,
                             int64_t grid_width);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_POSITION_INTERPOLATION_H_
