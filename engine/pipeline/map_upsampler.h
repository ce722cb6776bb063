// MapUpsampler: score maps of the working picture at the caller's picture's
// size (method.md section 6, step 5). Torch-free.
#ifndef OVDIFF_ENGINE_PIPELINE_MAP_UPSAMPLER_H_
#define OVDIFF_ENGINE_PIPELINE_MAP_UPSAMPLER_H_

#include <vector>

#include "absl/types/span.h"

namespace ovdiff::engine {

// Bilinear, align_corners = false: pixel centres, the border repeated.
// Immutable; thread-safe.
class MapUpsampler {
 public:
  // out = (1 - weight) * map[first] + weight * map[second]
  struct Tap {
    int first = 0;
    int second = 0;
    float weight = 0;
  };

  // Maps are [map_height, map_width], row-major. REQUIRES: sides >= 1.
  MapUpsampler(int map_width, int map_height, int width, int height);

  int width() const { return static_cast<int>(columns_.size()); }
  int height() const { return static_cast<int>(rows_.size()); }

  // Row y of the upsampled map, to `out` [width].
  void Row(absl::Span<const float> map, int y, absl::Span<float> out) const;

  const Tap& column(int x) const { return columns_[x]; }
  const Tap& row(int y) const { return rows_[y]; }

 private:
  int map_width_;
  std::vector<Tap> columns_;
  std::vector<Tap> rows_;
};

// The score that labels are chosen by: what is not finite, or not above 0, is
// 0.
float CountedScore(float score);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_MAP_UPSAMPLER_H_
