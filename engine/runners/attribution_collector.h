// AttributionCollector: where a class's tokens draw attention, gathered over
// passes through a UNet.
#ifndef OVDIFF_ENGINE_RUNNERS_ATTRIBUTION_COLLECTOR_H_
#define OVDIFF_ENGINE_RUNNERS_ATTRIBUTION_COLLECTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/nn/attention_observer.h"
#include "engine/ops/attribution.h"
#include "torch/types.h"

namespace ovdiff::engine {

// The mean over all cross-attention layers, heads, passes and tokens.
//
// It can be refined by self-attention, beyond the paper (the idea is
// DiffSegmenter's and iSeg's): a round replaces each cell's attribution by the
// mean of what the cell looks at, which fills objects and empties what is not
// theirs. Self-attention is the mean over heads, passes and those layers that
// have the largest maps of at most kMaxSelfAttentionCells. Thread-compatible.
class AttributionCollector {
 public:
  // `num_layers`: the UNet's cross-attention layers. `token_columns`: the
  // class's positions in the text. `first_row`: rows of a pass before it do not
  // count (the unconditional half under guidance). `rounds` of refinement, >=
  // 0.
  AttributionCollector(int64_t num_layers, std::vector<int64_t> token_columns,
                       int64_t first_row, int rounds);

  // Calls `pass`, which gives the observer to one forward, and adds what that
  // showed. Passes have equal batches and sizes.
  void Watch(absl::FunctionRef<void(const AttentionObserver&)> pass);

  // float32 [B, H, W], values >= 0; H x W is the largest of the layers' maps.
  // REQUIRES: a pass was watched.
  torch::Tensor Finish() const;

  static constexpr int64_t kMaxSelfAttentionCells = 1024;

 private:
  void AddSelfAttention(const SelfAttentionProbabilities& map);

  int64_t num_layers_;
  std::vector<int64_t> token_columns_;
  int64_t first_row_;
  int rounds_;
  std::unique_ptr<AttributionAccumulator> sum_;  // From the first pass on.
  // `values` summed over `num_self_attentions_` maps of one size.
  SelfAttentionProbabilities self_attention_;
  int64_t num_self_attentions_ = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_ATTRIBUTION_COLLECTOR_H_
