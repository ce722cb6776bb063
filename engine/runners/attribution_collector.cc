#include "engine/runners/attribution_collector.h"

#include <algorithm>
#include <utility>

#include "torch/torch.h"

namespace ovdiff::engine {

AttributionCollector::AttributionCollector(int64_t num_layers,
                                           std::vector<int64_t> token_columns,
                                           int64_t first_row)
    : num_layers_(num_layers),
      token_columns_(std::move(token_columns)),
      first_row_(first_row) {}

void AttributionCollector::Watch(
    absl::FunctionRef<void(const CrossAttentionObserver&)> pass) {
  // The maps of a pass are held until it ends: the largest grid, to which all
  // are resized, is known only then.
  std::vector<CrossAttentionProbabilities> seen;
  CrossAttentionObserver observer;
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    observer.probability_layers.insert(layer);
  }
  observer.token_columns = token_columns_;
  observer.first_row = first_row_;
  observer.on_probabilities = [&seen](const CrossAttentionProbabilities& map) {
    seen.push_back(map);
  };
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

torch::Tensor AttributionCollector::Finish() const {
  TORCH_CHECK(sum_ != nullptr, "no pass was watched");
  return sum_->Finish();
}

}  // namespace ovdiff::engine
