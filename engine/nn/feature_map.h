// Between feature maps [B, C, H, W] and token sequences [B, H*W, C].
#ifndef OVDIFF_ENGINE_NN_FEATURE_MAP_H_
#define OVDIFF_ENGINE_NN_FEATURE_MAP_H_

#include "torch/nn/module.h"
#include "torch/types.h"

namespace ovdiff::engine {

// A view if `map` is channels_last, else a copy.
inline torch::Tensor MapToTokens(const torch::Tensor& map) {
  return map.permute({0, 2, 3, 1}).flatten(1, 2);
}

// A channels_last view of contiguous `tokens`.
inline torch::Tensor TokensToMap(const torch::Tensor& tokens, int64_t height,
                                 int64_t width) {
  return tokens.unflatten(1, {height, width}).permute({0, 3, 1, 2});
}

// Gives every convolution weight the channels_last layout, and through them
// all feature maps: convolutions then need no reordering on the CPU, and
// MapToTokens is free. Values and names stay. Call after loading.
inline void UseChannelsLast(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(
          parameter.contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_FEATURE_MAP_H_
