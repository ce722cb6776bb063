#include "engine/runners/attribution_collector.h"

#include <algorithm>
#include <utility>

#include "torch/torch.h"

namespace ovdiff::engine {

AttributionCollector::AttributionCollector(int64_t num_layers,
                                           std::vector<int64_t> token_columns,
                                           int64_t first_row, int rounds)
    : num_layers_(num_layers),
      token_columns_(std::move(token_columns)),
      first_row_(first_row),
      rounds_(rounds) {}

void AttributionCollector::Watch(
    absl::FunctionRef<void(const AttentionObserver&)> pass) {
  // The maps of a pass are held until it ends: the largest grid, to which all
  // are resized, is known only then.
  std::vector<CrossAttentionProbabilities> seen;
  AttentionObserver observer;
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    observer.probability_layers.insert(layer);
  }
  observer.token_columns = token_columns_;
  observer.first_row = first_row_;
  observer.on_probabilities = [&seen](const CrossAttentionProbabilities& map) {
    seen.push_back(map);
  };
  if (rounds_ > 0) {
    observer.max_self_attention_cells = kMaxSelfAttentionCells;
    observer.on_self_attention = [this](const SelfAttentionProbabilities& map) {
      AddSelfAttention(map);
    };
  }
  pass(observer);
  if (sum_ == nullptr) {
    int64_t height = 1;
    int64_t width = 1;
    for (const CrossAttentionProbabilities& map : seen) {
      height = std::max(height, map.height);
      width = std::max(width, map.width);
    }
    sum_ = std::make_unique<AttributionAccumulator>(height, width);
  }
  for (const CrossAttentionProbabilities& map : seen) {
    sum_->Add(map.values, map.height, map.width);
  }
}

void AttributionCollector::AddSelfAttention(
    const SelfAttentionProbabilities& map) {
  const int64_t cells = map.height * map.width;
  const int64_t largest = self_attention_.height * self_attention_.width;
  if (cells > largest) {
    self_attention_ = map;
    num_self_attentions_ = 1;
  } else if (cells == largest) {
    self_attention_.values = self_attention_.values + map.values;
    ++num_self_attentions_;
  }
}

torch::Tensor AttributionCollector::Finish() const {
  TORCH_CHECK(sum_ != nullptr, "no pass was watched");
  const torch::Tensor maps = sum_->Finish();
  if (rounds_ == 0) {
    return maps;
  }
  TORCH_CHECK(num_self_attentions_ > 0,
              "no self-attention layer of the UNet has a map of at most ",
              kMaxSelfAttentionCells, " cells; attribution cannot be refined");
  const torch::Tensor looks_at =
      self_attention_.values / static_cast<double>(num_self_attentions_);
  const int64_t height = self_attention_.height;
  const int64_t width = self_attention_.width;
  torch::Tensor cells =
      at::adaptive_avg_pool2d(maps.unsqueeze(1), {height, width})
          .flatten(1)
          .unsqueeze(2);  // [B, h * w, 1]
  for (int round = 0; round < rounds_; ++round) {
    cells = at::bmm(looks_at, cells);
  }
  return at::upsample_bilinear2d(cells.view({-1, 1, height, width}),
                                 {maps.size(1), maps.size(2)},
                                 /*align_corners=*/false)
      .squeeze(1);
}

}  // namespace ovdiff::engine
