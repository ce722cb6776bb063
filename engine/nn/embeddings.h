// Time embedding of the diffusion UNet (diffusers models/embeddings.py, 0.42).
#ifndef OVDIFF_ENGINE_NN_EMBEDDINGS_H_
#define OVDIFF_ENGINE_NN_EMBEDDINGS_H_

#include <cstdint>

#include "torch/nn/modules/linear.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Sinusoids of `timesteps` [B] (any number type): float32 [B, dim]. `dim` is
// even. Half are sines, half cosines; cosines first if `flip_sin_to_cos`.
torch::Tensor GetTimestepEmbedding(const torch::Tensor& timesteps, int64_t dim,
                                   bool flip_sin_to_cos, int64_t freq_shift);

// linear_2(silu(linear_1(x))).
class TimestepEmbeddingImpl : public torch::nn::Module {
 public:
  TimestepEmbeddingImpl(int64_t in_channels, int64_t time_embed_dim);
  torch::Tensor forward(const torch::Tensor& sample);  // [B, in] -> [B, dim]

  torch::nn::Linear linear_1{nullptr};
  torch::nn::Linear linear_2{nullptr};
};
TORCH_MODULE(TimestepEmbedding);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_EMBEDDINGS_H_
