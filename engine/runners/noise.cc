#include "engine/runners/noise.h"

#include "ATen/CPUGeneratorImpl.h"
#include "torch/torch.h"

namespace ovdiff::engine {

NoiseSource::NoiseSource(uint64_t seed)
    : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

torch::Tensor NoiseSource::Draw(const std::vector<int64_t>& shape,
                                torch::Dtype dtype) {
  return torch::randn(shape, generator_, torch::dtype(dtype))
      .to(torch::kFloat32);
}

}  // namespace ovdiff::engine
