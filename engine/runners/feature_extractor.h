// FeatureExtractor: dense features of pictures in one feature space.
#ifndef OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_
#define OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_

#include <cstdint>

#include "engine/bundle/bundle.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-safe: extraction changes nothing. Runs on the device thread and its
// lanes only.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;

  virtual const SpaceSpec& spec() const = 0;
  virtual int64_t feature_dim() const = 0;  // C

  // The smallest side of an input, pixels: a smaller one has no cell.
  virtual int64_t min_side() const = 0;

  // One network call. `images`: float32 [B, 3, H, W] in 0…1, on the extractor's
  // device. `noise_seed`: of what noise the space adds; each picture gets the
  // same, so the result does not depend on its place in the batch. Returns
  // float32 [B, C, gh, gw], not normalised. Throws what torch throws: call it
  // through ComputeDevice.
  virtual torch::Tensor Extract(const torch::Tensor& images,
                                uint64_t noise_seed) const = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_
