#include "engine/pipeline/map_upsampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ovdiff::engine {
namespace {

std::vector<MapUpsampler::Tap> MakeTaps(int in, int out) {
  std::vector<MapUpsampler::Tap> taps(out);
  for (int i = 0; i < out; ++i) {
    const double centre = std::max(0.0, (i + 0.5) * in / out - 0.5);
    taps[i].first = std::min(static_cast<int>(centre), in - 1);
    taps[i].second = std::min(taps[i].first + 1, in - 1);
    taps[i].weight = static_cast<float>(centre - taps[i].first);
  }
  return taps;
}

}  // namespace

MapUpsampler::MapUpsampler(int map_width, int map_height, int width, int height)
    : map_width_(map_width),
      columns_(MakeTaps(map_width, width)),
      rows_(MakeTaps(map_height, height)) {}

void MapUpsampler::Row(absl::Span<const float> map, int y,
                       absl::Span<float> out) const {
  const Tap& tap = rows_[y];
  const float* upper = map.data() + static_cast<size_t>(tap.first) * map_width_;
  const float* lower =
      map.data() + static_cast<size_t>(tap.second) * map_width_;
  for (size_t x = 0; x < columns_.size(); ++x) {
    const Tap& column = columns_[x];
    const float top =
        upper[column.first] +
        column.weight * (upper[column.second] - upper[column.first]);
    const float bottom =
        lower[column.first] +
        column.weight * (lower[column.second] - lower[column.first]);
    out[x] = top + tap.weight * (bottom - top);
  }
}

float CountedScore(float score) {
  return std::isfinite(score) && score > 0 ? score : 0.0f;
}

}  // namespace ovdiff::engine
