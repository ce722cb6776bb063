// AttentionProbe: one forward's walk past the attention layers, reporting to a
// AttentionObserver. Internal to engine/nn.
#ifndef OVDIFF_ENGINE_NN_ATTENTION_PROBE_H_
#define OVDIFF_ENGINE_NN_ATTENTION_PROBE_H_

#include <cstdint>

#include "engine/nn/attention_observer.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-compatible; lives for one forward. The observer must outlive it.
class AttentionProbe {
 public:
  explicit AttentionProbe(const AttentionObserver& observer)
      : observer_(observer) {}

  // The map whose cells the next layers' tokens are.
  void SetMapSize(int64_t height, int64_t width) {
    height_ = height;
    width_ = width;
  }
  // Called by each attn2 before anything else, in execution order.
  void EnterCrossAttention() { ++layer_; }

  bool wants_probabilities() const {
    return observer_.probability_layers.count(layer_) > 0;
  }
  bool wants_self_attention() const {
    return height_ * width_ <= observer_.max_self_attention_cells;
  }
  // Nothing after this layer is wanted.
  bool at_end() const { return layer_ >= observer_.last_layer; }
  int64_t first_row() const { return observer_.first_row; }

  // queries: [B, H*W, C].
  void ReportQueries(const torch::Tensor& queries) const {
    if (observer_.query_layers.count(layer_) > 0) {
      observer_.on_queries({layer_, height_, width_, queries});
    }
  }
  // probabilities: float32 [B', heads, H*W, tokens].
  void ReportProbabilities(const torch::Tensor& probabilities) const {
    const torch::Tensor columns =
        torch::tensor(observer_.token_columns, torch::kInt64)
            .to(probabilities.device());
    observer_.on_probabilities(
        {layer_, height_, width_, probabilities.index_select(-1, columns)});
  }
  // probabilities: float32 [B', heads, H*W, H*W].
  void ReportSelfAttention(const torch::Tensor& probabilities) const {
    observer_.on_self_attention({height_, width_, probabilities.mean(1)});
  }

 private:
  const AttentionObserver& observer_;
  int64_t layer_ = -1;
  int64_t height_ = 0;
  int64_t width_ = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_ATTENTION_PROBE_H_
