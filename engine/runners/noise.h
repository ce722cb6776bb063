// NoiseSource: reproducible normal noise, the same on every device.
#ifndef OVDIFF_ENGINE_RUNNERS_NOISE_H_
#define OVDIFF_ENGINE_RUNNERS_NOISE_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Generator.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Draws on the CPU, for CUDA's generator gives other numbers for the same seed
// (networks.md pitfall 9). Thread-compatible.
class NoiseSource {
 public:
  explicit NoiseSource(uint64_t seed);

  // The next draw, standard normal, float32 on the CPU. With `dtype` kFloat16
  // it is drawn in half precision, whose numbers are unrelated to float32's
  // (pitfall 10), and then widened.
  torch::Tensor Draw(const std::vector<int64_t>& shape, torch::Dtype dtype);

 private:
  at::Generator generator_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_NOISE_H_
