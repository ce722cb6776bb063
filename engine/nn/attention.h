// Attention: diffusers' models/attention_processor.py Attention (0.42).
#ifndef OVDIFF_ENGINE_NN_ATTENTION_H_
#define OVDIFF_ENGINE_NN_ATTENTION_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "engine/nn/attention_probe.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct AttentionOptions {
  int64_t query_dim = 0;
  int64_t cross_attention_dim = 0;  // width of keys' and values' input
  int64_t heads = 1;                // divides query_dim
  bool bias = false;                // of to_q, to_k, to_v
  bool upcast_attention = false;    // scores in float32 whatever the weights
  int64_t norm_num_groups = 0;      // 0: no group_norm (VAE has one)
  double eps = 1e-6;                // of group_norm
};

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionOptions& options);

  // x: [B, N, query_dim] -> the same shape. `context` [R, T, D] or undefined
  // (attends to x itself). R divides B; rows r*B/R to (r+1)*B/R - 1 of x share
  // context row r, so that keys and values are computed once per prompt.
  // `probe` is null or observes this, as one cross-attention layer where there
  // is a context; the result is undefined where it ends the forward here.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionProbe* probe);

  // The VAE's use: x [B, C, H, W] -> x + attention(group_norm(x)).
  torch::Tensor forward_map(const torch::Tensor& x);

  int64_t heads() const { return options_.heads; }
  int64_t query_dim() const { return options_.query_dim; }

  torch::nn::GroupNorm group_norm{nullptr};
  torch::nn::Linear to_q{nullptr};
  torch::nn::Linear to_k{nullptr};
  torch::nn::Linear to_v{nullptr};
  torch::nn::ModuleList to_out{nullptr};  // Linear, Dropout

 private:
  torch::Tensor SplitHeads(const torch::Tensor& x, int64_t rows) const;
  // q [B, N, C], k and v [R, T, C] -> [B, N, C].
  torch::Tensor Attend(const torch::Tensor& q, const torch::Tensor& k,
                       const torch::Tensor& v) const;
  // The same, and `report` gets the softmax, float32 [B', heads, N, T], of the
  // rows from `first` on.
  using Report = absl::FunctionRef<void(const torch::Tensor&)>;
  torch::Tensor AttendObserved(const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, int64_t first,
                               Report report) const;
  torch::Tensor AttendExplicitly(const torch::Tensor& q, const torch::Tensor& k,
                                 const torch::Tensor& v, Report report) const;

  AttentionOptions options_;
  torch::nn::Linear out_projection_{nullptr};  // to_out.0
};
TORCH_MODULE(Attention);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_ATTENTION_H_
