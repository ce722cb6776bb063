#include "engine/pipeline/label_map.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace ovdiff::engine {
namespace {

// NaN and what is not above 0 count as 0.
float Positive(float score) {
  return std::isfinite(score) && score > 0 ? score : 0.0f;
}

}  // namespace

LabelMapBuilder::LabelMapBuilder(int map_width, int map_height, int width,
                                 int height)
    : map_width_(map_width),
      columns_(MakeTaps(map_width, width)),
      rows_(MakeTaps(map_height, height)),
      row_(width) {
  labels_.width = width;
  labels_.height = height;
  labels_.data.assign(static_cast<size_t>(width) * height, 0);
  best_.assign(labels_.data.size(), 0.0f);
}

std::vector<LabelMapBuilder::Tap> LabelMapBuilder::MakeTaps(int in, int out) {
  std::vector<Tap> taps(out);
  for (int i = 0; i < out; ++i) {
    // Pixel centres (align_corners = false), the border repeated.
    const double centre = std::max(0.0, (i + 0.5) * in / out - 0.5);
    taps[i].first = std::min(static_cast<int>(centre), in - 1);
    taps[i].second = std::min(taps[i].first + 1, in - 1);
    taps[i].weight = static_cast<float>(centre - taps[i].first);
  }
  return taps;
}

void LabelMapBuilder::UpsampleRow(absl::Span<const float> map, int y) {
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
    row_[x] = top + tap.weight * (bottom - top);
  }
}

void LabelMapBuilder::AddBackground(absl::Span<const float> map) {
  for (int y = 0; y < labels_.height; ++y) {
    UpsampleRow(map, y);
    float* best = best_.data() + static_cast<size_t>(y) * labels_.width;
    for (int x = 0; x < labels_.width; ++x) {
      best[x] = Positive(row_[x]);
    }
  }
}

double LabelMapBuilder::AddClass(uint16_t label, absl::Span<const float> map) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int y = 0; y < labels_.height; ++y) {
    UpsampleRow(map, y);
    const size_t offset = static_cast<size_t>(y) * labels_.width;
    for (int x = 0; x < labels_.width; ++x) {
      const float score = Positive(row_[x]);
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
