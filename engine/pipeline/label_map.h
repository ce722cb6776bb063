// LabelMapBuilder: score maps of the working picture to one label per pixel of
// the caller's picture (method.md section 6, steps 5 and 6). Torch-free.
#ifndef OVDIFF_ENGINE_PIPELINE_LABEL_MAP_H_
#define OVDIFF_ENGINE_PIPELINE_LABEL_MAP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/image.h"
#include "engine/pipeline/map_upsampler.h"

namespace ovdiff::engine {

// Keeps, per pixel of the result, the best score so far and its label, so that
// memory does not grow with the number of classes. Each map is upsampled
// bilinear (align_corners = false); a score of 0 or less counts as 0;
// background (label 0) is there from the start; equal scores go to the lower
// label, so the order of Add() does not matter. A score that is not finite
// counts as 0. Thread-compatible.
class LabelMapBuilder {
 public:
  struct ClassSummary {
    int64_t pixel_count = 0;
    double score_sum = 0;  // of the label's own pixels
  };

  // REQUIRES: sides >= 1.
  LabelMapBuilder(int map_width, int map_height, int width, int height);

  // `map`: [map_height, map_width], row-major. Of background: before any class,
  // at most once. Without it background scores 0.
  void AddBackground(absl::Span<const float> map);
  // Returns the largest upsampled score. REQUIRES: label >= 1, each once.
  double AddClass(uint16_t label, absl::Span<const float> map);

  // The result, and the sum and number of pixels of each label (indexed by
  // label, 65536 entries). Call once.
  LabelMap Finish(std::vector<ClassSummary>* summaries);

 private:
  MapUpsampler upsampler_;
  LabelMap labels_;
  std::vector<float> best_;  // [height, width]
  std::vector<float> row_;   // One upsampled row.
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_LABEL_MAP_H_
