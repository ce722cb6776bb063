// Sliding windows over a picture, and the merge of what was seen in them
// (method.md section 6, steps 2 and 5).
#ifndef OVDIFF_ENGINE_OPS_WINDOWS_H_
#define OVDIFF_ENGINE_OPS_WINDOWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/ops/resample.h"
#include "torch/types.h"

namespace ovdiff::engine {

// A rectangle of the resized picture, pixels.
struct Window {
  int x = 0;
  int y = 0;
  ImageSize size;
  // How many of the asked-for windows are this rectangle: it is looked at once
  // and counts this often (a square picture's window and "whole picture").
  int weight = 1;
  bool operator==(const Window&) const = default;
};

// Windows of each of `sizes` (squares, in order) every `stride` pixels, rows
// first, the last of a row or column shifted inward to end at the edge; then
// the whole picture if `whole_picture`. A size beyond a side is cut to that
// side. Identical rectangles become one with their count as weight. Every pixel
// is covered. kInvalidArgument for sides, sizes or stride below 1, a stride
// beyond the smallest size (it would leave gaps; checked only with `sizes`), no
// window at all, or more than `max_windows` (>= 1) before deduplication;
// nothing is allocated for those.
absl::StatusOr<std::vector<Window>> SlidingWindows(ImageSize picture,
                                                   absl::Span<const int> sizes,
                                                   int stride,
                                                   bool whole_picture,
                                                   int64_t max_windows);

// A share of a pixel.
struct PixelWeight {
  int x = 0;
  int y = 0;
  double weight = 0;
};

// What `pixels` of a window of `size` say of the h x w cells that are upsampled
// to it as WindowMerger does: float32 [h, w] on the CPU, whose sum of products
// with the cells is the weighted sum of the pixels. REQUIRES: pixels inside.
torch::Tensor CellWeights(absl::Span<const PixelWeight> pixels, ImageSize size,
                          int64_t h, int64_t w);

// Sums score maps of windows into one map of the picture. One merger per range
// of classes keeps memory small: it holds [rows, height, width] float32.
// Thread-compatible. Add() order changes the result by rounding only, so add in
// a fixed order where equal answers matter.
class WindowMerger {
 public:
  // REQUIRES: num_rows >= 1, sides >= 1.
  WindowMerger(int64_t num_rows, ImageSize picture, torch::Device device);

  // `scores`: [num_rows, h, w] float32 of `window`, on the merger's device;
  // upsampled bilinear (align_corners = false) to the window and added
  // window.weight times, each counting `weight` (> 0). May be called several
  // times a window, once a space.
  void Add(const torch::Tensor& scores, const Window& window,
           double weight = 1.0);

  // [num_rows, height, width] float32: weighted mean; pixels without any window
  // are 0. Call once.
  torch::Tensor Finish();

 private:
  torch::Tensor sum_;    // [num_rows, H, W]
  torch::Tensor count_;  // [H, W]
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_WINDOWS_H_
