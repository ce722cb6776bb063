#include "engine/pipeline/label_map.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace ovdiff::engine {

LabelMapBuilder::LabelMapBuilder(int map_width, int map_height, int width,
                                 int height)
    : upsampler_(map_width, map_height, width, height), row_(width) {
  labels_.width = width;
  labels_.height = height;
  labels_.data.assign(static_cast<size_t>(width) * height, 0);
  best_.assign(labels_.data.size(), 0.0f);
}

void LabelMapBuilder::AddBackground(absl::Span<const float> map) {
  for (int y = 0; y < labels_.height; ++y) {
    upsampler_.Row(map, y, absl::MakeSpan(row_));
    float* best = best_.data() + static_cast<size_t>(y) * labels_.width;
    for (int x = 0; x < labels_.width; ++x) {
      best[x] = CountedScore(row_[x]);
    }
  }
}

double LabelMapBuilder::AddClass(uint16_t label, absl::Span<const float> map) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int y = 0; y < labels_.height; ++y) {
    upsampler_.Row(map, y, absl::MakeSpan(row_));
    const size_t offset = static_cast<size_t>(y) * labels_.width;
    for (int x = 0; x < labels_.width; ++x) {
      const float score = CountedScore(row_[x]);
      largest = std::max(largest, std::isfinite(row_[x]) ? row_[x] : 0.0f);
      float& best = best_[offset + x];
      uint16_t& owner = labels_.data[offset + x];
      if (score > best || (score == best && label < owner)) {
        best = score;
        owner = label;
      }
    }
  }
  return largest;
}

LabelMap LabelMapBuilder::Finish(std::vector<ClassSummary>* summaries) {
  summaries->assign(size_t{std::numeric_limits<uint16_t>::max()} + 1, {});
  for (size_t i = 0; i < labels_.data.size(); ++i) {
    ClassSummary& summary = (*summaries)[labels_.data[i]];
    ++summary.pixel_count;
    summary.score_sum += best_[i];
  }
  return std::move(labels_);
}

}  // namespace ovdiff::engine
