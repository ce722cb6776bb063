#include "engine/nn/attention.h"

#include <cmath>

#include "engine/nn/feature_map.h"
#include "torch/nn/modules/dropout.h"

namespace ovdiff::engine {
namespace {

torch::nn::Linear MakeLinear(int64_t in, int64_t out, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

}  // namespace

AttentionImpl::AttentionImpl(const AttentionOptions& options)
    : options_(options) {
  const int64_t dim = options.query_dim;
  TORCH_CHECK(options.heads > 0 && dim % options.heads == 0, dim,
              " channels do not split into ", options.heads, " heads");
  if (options.norm_num_groups > 0) {
    group_norm = register_module(
        "group_norm", torch::nn::GroupNorm(torch::nn::GroupNormOptions(
                                               options.norm_num_groups, dim)
                                               .eps(options.eps)));
  }
  const int64_t source = options.cross_attention_dim;
  to_q = register_module("to_q", MakeLinear(dim, dim, options.bias));
  to_k = register_module("to_k", MakeLinear(source, dim, options.bias));
  to_v = register_module("to_v", MakeLinear(source, dim, options.bias));
  out_projection_ = MakeLinear(dim, dim, /*bias=*/true);
  to_out = register_module("to_out", torch::nn::ModuleList());
  to_out->push_back(out_projection_);
  to_out->push_back(torch::nn::Dropout(0.0));
}

torch::Tensor AttentionImpl::SplitHeads(const torch::Tensor& x,
                                        int64_t rows) const {
  return x
      .reshape({rows, -1, options_.heads, options_.query_dim / options_.heads})
      .transpose(1, 2);  // [rows, heads, N, d]
}

// Queries do not see each other, so rows that share a context row stand side by
// side in one long query axis: nothing is repeated.
torch::Tensor AttentionImpl::Attend(const torch::Tensor& q,
                                    const torch::Tensor& k,
                                    const torch::Tensor& v) const {
  const auto type =
      options_.upcast_attention ? torch::kFloat32 : q.scalar_type();
  const int64_t rows = k.size(0);
  const torch::Tensor out = at::scaled_dot_product_attention(
      SplitHeads(q, rows).to(type), SplitHeads(k, rows).to(type),
      SplitHeads(v, rows).to(type));  // [R, heads, B/R * N, d]
  return out.transpose(1, 2).reshape(q.sizes()).to(q.scalar_type());
}

torch::Tensor AttentionImpl::AttendExplicitly(const torch::Tensor& q,
                                              const torch::Tensor& k,
                                              const torch::Tensor& v,
                                              Report report) const {
  const auto type =
      options_.upcast_attention ? torch::kFloat32 : q.scalar_type();
  const int64_t rows = k.size(0), batch = q.size(0), cells = q.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(options_.query_dim) /
                                       static_cast<double>(options_.heads));
  const torch::Tensor scores =
      torch::matmul(SplitHeads(q, rows).to(type) * scale,
                    SplitHeads(k, rows).to(type).transpose(-1, -2));
  const torch::Tensor p =
      torch::softmax(scores, -1, torch::kFloat32);  // [R, heads, B/R * N, T]
  report(p.view({rows, options_.heads, batch / rows, cells, -1})
             .transpose(1, 2)
             .reshape({batch, options_.heads, cells, -1}));
  const torch::Tensor out =
      torch::matmul(p.to(type), SplitHeads(v, rows).to(type));
  return out.transpose(1, 2).reshape(q.sizes()).to(q.scalar_type());
}

torch::Tensor AttentionImpl::AttendObserved(const torch::Tensor& q,
                                            const torch::Tensor& k,
                                            const torch::Tensor& v,
                                            int64_t first,
                                            Report report) const {
  const int64_t shared = q.size(0) / k.size(0);
  TORCH_CHECK(first >= 0 && first < q.size(0) && first % shared == 0,
              "observed rows start at ", first, ", allowed are multiples of ",
              shared, " below ", q.size(0));
  const int64_t first_context = first / shared;
  const torch::Tensor observed =
      AttendExplicitly(q.slice(0, first), k.slice(0, first_context),
                       v.slice(0, first_context), report);
  if (first == 0) return observed;
  const torch::Tensor rest =
      Attend(q.slice(0, 0, first), k.slice(0, 0, first_context),
             v.slice(0, 0, first_context));
  return torch::cat({rest, observed}, 0);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x,
                                     const torch::Tensor& context,
                                     AttentionProbe* probe) {
  const torch::Tensor& source = context.defined() ? context : x;
  TORCH_CHECK(x.size(0) % source.size(0) == 0, "batch of ", x.size(0),
              " is no multiple of ", source.size(0), " text rows");
  const torch::Tensor q = to_q(x);  // [B, N, C]
  const bool is_cross = context.defined();
  bool is_observed = false;
  if (probe != nullptr && is_cross) {
    probe->EnterCrossAttention();
    probe->ReportQueries(q);
    is_observed = probe->wants_probabilities();
    if (probe->at_end() && !is_observed) return {};
  } else if (probe != nullptr) {
    is_observed = probe->wants_self_attention();
  }
  const torch::Tensor k = to_k(source);  // [R, T, C]
  const torch::Tensor v = to_v(source);
  const auto report = [&](const torch::Tensor& p) {
    is_cross ? probe->ReportProbabilities(p) : probe->ReportSelfAttention(p);
  };
  const torch::Tensor out =
      is_observed ? AttendObserved(q, k, v, probe->first_row(), report)
                  : Attend(q, k, v);
  if (probe != nullptr && is_cross && probe->at_end()) return {};
  return out_projection_(out);
}

torch::Tensor AttentionImpl::forward_map(const torch::Tensor& x) {
  const torch::Tensor tokens = MapToTokens(group_norm(x));  // [B, H*W, C]
  const torch::Tensor out =
      forward(tokens, /*context=*/torch::Tensor(), /*probe=*/nullptr);
  return x + TokensToMap(out, x.size(2), x.size(3));
}

}  // namespace ovdiff::engine
