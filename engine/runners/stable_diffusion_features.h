// StableDiffusionFeatures: cross-attention queries of a denoising UNet as a
// feature space (networks.md section 5).
#ifndef OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_FEATURES_H_
#define OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_FEATURES_H_

#include <memory>
#include <set>

#include "absl/status/statusor.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runners/stable_diffusion_runner.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// A picture is encoded to a sample of the VAE's posterior, noised to
// spec.timestep and passed once through the UNet under spec.prompt, without
// guidance. The queries of spec.layers are resized bilinear to the largest of
// their maps and concatenated in execution order, not normalised.
//
// Noise: one CPU generator seeded with the noise seed draws the posterior's
// noise first, then the forward noise, both float32 [C, h, w]. Each picture and
// window starts it anew, so support pictures and photos see the same noise and
// nothing depends on the order of calls (the official program draws once for
// both uses, and unseeded for photos: method.md 14.2).
class StableDiffusionFeatures final : public FeatureExtractor {
 public:
  // `runner` must outlive this. kFailedPrecondition if a layer is not in the
  // UNet (the message lists those that are) or named twice, if the timestep is
  // not one of training's, or if the prompt does not fit the context.
  static absl::StatusOr<std::unique_ptr<StableDiffusionFeatures>> Create(
      const SpaceSpec& spec, const StableDiffusionRunner& runner,
      ComputeDevice& device);

  const SpaceSpec& spec() const override { return spec_; }
  int64_t feature_dim() const override { return feature_dim_; }
  int64_t min_side() const override { return runner_.downscale(); }
  torch::Tensor Extract(const torch::Tensor& images,
                        const FeatureNoise& noise) const override;

 private:
  StableDiffusionFeatures(const SpaceSpec& spec,
                          const StableDiffusionRunner& runner)
      : spec_(spec), runner_(runner) {}

  const SpaceSpec spec_;
  const StableDiffusionRunner& runner_;
  std::set<int64_t> layers_;
  int64_t feature_dim_ = 0;
  torch::Tensor text_;  // [1, T, D] states of spec.prompt
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_STABLE_DIFFUSION_FEATURES_H_
