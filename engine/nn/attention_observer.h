// AttentionObserver: what a caller of UNet2DConditionModel wants to see of
// its attention. Of cross-attention (attn2): probabilities, for attribution
// maps (networks.md 4), and queries, for features (networks.md 5). Of
// self-attention (attn1): which cells belong together, to refine attribution
// maps.
//
// Cross-attention layers are named by their index in execution order
// (networks.md 1.6); UNet2DConditionModel::cross_attention_layers() lists them.
#ifndef OVDIFF_ENGINE_NN_ATTENTION_OBSERVER_H_
#define OVDIFF_ENGINE_NN_ATTENTION_OBSERVER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "torch/types.h"

namespace ovdiff::engine {

struct CrossAttentionLayer {
  std::string name;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
  int64_t channels = 0;
  int64_t heads = 0;
};

struct CrossAttentionProbabilities {
  int64_t layer = 0;
  int64_t height = 0;  // of this layer's feature map
  int64_t width = 0;
  // float32 [B - first_row, heads, height * width, columns]; softmax over all
  // tokens, then only the columns asked for, in the order asked for.
  torch::Tensor values;
};

struct CrossAttentionQueries {
  int64_t layer = 0;
  int64_t height = 0;
  int64_t width = 0;
  // [B, height * width, channels] in the weights' type: the output of to_q
  // before the head split.
  torch::Tensor values;
};

struct SelfAttentionProbabilities {
  int64_t height = 0;  // of this layer's feature map
  int64_t width = 0;
  // float32 [B - first_row, height * width, height * width]: the mean over
  // heads; row i says where cell i looks, and sums to 1.
  torch::Tensor values;
};

// Plain data, read during one forward. The callbacks run on its thread, in
// execution order of the layers; their tensors may be kept, not written to.
// An observed forward gives the unobserved output to rounding.
struct AttentionObserver {
  // Layers whose probabilities are reported; needs `token_columns` and
  // `on_probabilities`.
  std::set<int64_t> probability_layers;
  std::vector<int64_t> token_columns;  // each in [0, tokens)
  // First latent row whose probabilities are reported. Under guidance, batch =
  // [unconditional; conditional], so B / 2. Must be a multiple of B / (rows of
  // text).
  int64_t first_row = 0;
  std::function<void(const CrossAttentionProbabilities&)> on_probabilities;

  // Layers whose queries are reported.
  std::set<int64_t> query_layers;
  std::function<void(const CrossAttentionQueries&)> on_queries;

  // Self-attention is reported of layers whose map has at most so many cells;
  // 0: of none. A report is quadratic in the cells, and so is the softmax over
  // every head that it is made of.
  int64_t max_self_attention_cells = 0;
  std::function<void(const SelfAttentionProbabilities&)> on_self_attention;

  // Forward ends inside this layer, as soon as everything asked of it is
  // reported, and returns an undefined tensor. Beyond the last layer: never.
  int64_t last_layer = std::numeric_limits<int64_t>::max();
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_ATTENTION_OBSERVER_H_
