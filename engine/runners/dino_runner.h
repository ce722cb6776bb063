// DinoRunner: keys of a timm/DINO vision transformer as a feature space.
#ifndef OVDIFF_ENGINE_RUNNERS_DINO_RUNNER_H_
#define OVDIFF_ENGINE_RUNNERS_DINO_RUNNER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/nn/vision_transformer.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// The class token is dropped. An input is cut to whole patches, whose grid the
// pipeline stretches over the whole window (method.md 14.11).
class DinoRunner final : public FeatureExtractor {
 public:
  // Loads spec.folder. Errors as LoadNetwork(); kFailedPrecondition if
  // spec.layer is not a block of the network.
  static absl::StatusOr<std::unique_ptr<DinoRunner>> Create(
      const SpaceSpec& spec, const ComputeDevice& device);

  const SpaceSpec& spec() const override { return spec_; }
  int64_t feature_dim() const override { return vit_->config().embed_dim; }
  int64_t min_side() const override { return vit_->config().patch_size; }
  torch::Tensor Extract(const torch::Tensor& images,
                        const FeatureNoise& noise) const override;

 private:
  DinoRunner(const SpaceSpec& spec, VisionTransformer vit, torch::Dtype dtype)
      : spec_(spec), vit_(std::move(vit)), dtype_(dtype) {}

  const SpaceSpec spec_;
  mutable VisionTransformer vit_;  // forward is not const but changes nothing
  torch::Dtype dtype_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_DINO_RUNNER_H_
