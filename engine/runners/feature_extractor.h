// FeatureExtractor: dense features of pictures in one feature space.
#ifndef OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_
#define OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_

#include <cstdint>

#include "engine/bundle/bundle.h"
#include "torch/types.h"

namespace ovdiff::engine {

// The noise that a space adds to pictures, if it adds any.
struct FeatureNoise {
  uint64_t seed = 0;
  // Each draw is the first one again (the official program's support pictures;
  // method.md 14.2), instead of a draw of its own.
  bool shared = false;
};

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
  // device. Each picture gets the same noise, so the result does not depend on
  // its place in the batch. Returns
  // float32 [B, C, gh, gw], not normalised. Throws what torch throws: call it
  // through ComputeDevice.
  virtual torch::Tensor Extract(const torch::Tensor& images,
                                const FeatureNoise& noise) const = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_FEATURE_EXTRACTOR_H_
