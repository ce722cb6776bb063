// Pixel-adaptive mask refinement, PAMR (Araslanov & Roth, CVPR 2020; method.md
// section 9): score maps take on the edges of a picture.
#ifndef OVDIFF_ENGINE_OPS_PAMR_H_
#define OVDIFF_ENGINE_OPS_PAMR_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "torch/types.h"

namespace ovdiff::engine {

// How much each pixel listens to its neighbours: those 8 around it at each of
// some distances ("dilations"); beyond the border the border's pixel repeats.
// Weight of a neighbour n of pixel p: softmax over the neighbours of the mean
// over channels of -|x_n - x_p| / (1e-8 + 0.1 s), where s is the standard
// deviation (with n - 1) of the 9 pixels of every dilation, p among them each
// time. Immutable: shared by threads.
class PamrAffinity {
 public:
  // `picture`: [C, H, W] float32, 0…255, its sides and C >= 1. Holds
  // SizeBytes(); while it is built, twice that at most. REQUIRES: dilations not
  // empty, each >= 1.
  PamrAffinity(const torch::Tensor& picture, absl::Span<const int> dilations);

  static int64_t SizeBytes(int64_t height, int64_t width, size_t dilations) {
    return height * width * 8 * static_cast<int64_t>(dilations) * 4;
  }

  // `iterations` times: each pixel becomes its neighbours' weighted mean.
  // `maps`: [K, H, W] float32 on the picture's device, of any values. Returns
  // the same shape. Maps do not see each other, so that a caller may bring them
  // in any portions; about three times the portion is held beside the result.
  torch::Tensor Refine(const torch::Tensor& maps, int iterations) const;

 private:
  std::vector<int> dilations_;
  int64_t margin_;         // The largest.
  torch::Tensor weights_;  // [8 * dilations, H, W], over neighbours 1.
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_PAMR_H_
