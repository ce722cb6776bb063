// MaskCutRunner: MaskCut (engine/ops/maskcut.h) on the keys of one of the
// bundle's vision transformers.
#ifndef OVDIFF_ENGINE_RUNNERS_MASKCUT_RUNNER_H_
#define OVDIFF_ENGINE_RUNNERS_MASKCUT_RUNNER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/bundle/bundle.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runners/mask_proposer.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

class MaskCutRunner final : public MaskProposer {
 public:
  // `extractor`: of the space that `spec` names; must outlive this, as its
  // network is the one that runs. kFailedPrecondition if spec.input_size has
  // more cells than MaskCut takes.
  static absl::StatusOr<std::unique_ptr<MaskCutRunner>> Create(
      const MaskCutSpec& spec, const FeatureExtractor& extractor,
      const ComputeDevice& device);

  // Masks of whole patches, [M, side / patch, side / patch].
  absl::StatusOr<torch::Tensor> Propose(
      const Image& picture, const PrototypeOptions& options) const override;

 private:
  MaskCutRunner(const FeatureExtractor& extractor, int side,
                torch::Device device)
      : extractor_(extractor), side_(side), device_(device) {}

  const FeatureExtractor& extractor_;
  const int side_;  // pixels, a multiple of the patch
  const torch::Device device_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_MASKCUT_RUNNER_H_
