#include "engine/nn/embeddings.h"

#include <cmath>

namespace ovdiff::engine {

torch::Tensor GetTimestepEmbedding(const torch::Tensor& timesteps, int64_t dim,
                                   bool flip_sin_to_cos, int64_t freq_shift) {
  TORCH_CHECK(dim % 2 == 0 && dim / 2 > freq_shift, "embedding width ", dim);
  const int64_t half = dim / 2;
  // float32 whatever the model's type: half precision cannot tell steps apart.
  const torch::Tensor exponent =
      torch::arange(half, timesteps.options().dtype(torch::kFloat32)) *
      (-std::log(10000.0)) / static_cast<double>(half - freq_shift);
  const torch::Tensor angles =
      timesteps.to(torch::kFloat32).unsqueeze(1) * exponent.exp();  // [B, half]
  return flip_sin_to_cos ? torch::cat({angles.cos(), angles.sin()}, 1)
                         : torch::cat({angles.sin(), angles.cos()}, 1);
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(int64_t in_channels,
                                             int64_t time_embed_dim) {
  linear_1 = register_module("linear_1",
                             torch::nn::Linear(in_channels, time_embed_dim));
  linear_2 = register_module("linear_2",
                             torch::nn::Linear(time_embed_dim, time_embed_dim));
}

torch::Tensor TimestepEmbeddingImpl::forward(const torch::Tensor& sample) {
  return linear_2(torch::silu(linear_1(sample)));
}

}  // namespace ovdiff::engine
