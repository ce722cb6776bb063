// ModelSet: all runners of a bundle, each folder loaded once.
#ifndef OVDIFF_ENGINE_RUNNERS_MODEL_SET_H_
#define OVDIFF_ENGINE_RUNNERS_MODEL_SET_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/bundle/bundle.h"
#include "engine/runners/clip_runner.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runners/mask_proposer.h"
#include "engine/runners/stable_diffusion_runner.h"
#include "engine/runtime/compute_device.h"
#include "engine/text/clip_tokenizer.h"

namespace ovdiff::engine {

// Immutable after Create().
struct ModelSet {
  std::unique_ptr<StableDiffusionRunner> diffusion;
  std::vector<std::unique_ptr<FeatureExtractor>> spaces;  // bundle's order
  std::unique_ptr<const MaskProposer> maskcut;  // null: not in the bundle
  std::unique_ptr<const MaskProposer> cutler;   // likewise
  std::shared_ptr<const ClipRunner> prefilter;
  std::unique_ptr<const ClipTokenizer> prefilter_tokenizer;

  // Null if there is no such space.
  const FeatureExtractor* FindSpace(const std::string& name) const;

  // What proposes masks for PrototypeOptions::mask_source; null for attention
  // masks, which need no network. REQUIRES: valid with this bundle.
  const MaskProposer* FindProposer(const std::string& mask_source) const;

  // Errors of the runners' Create(); kFailedPrecondition also for numbers of
  // the bundle that the networks cannot do (a picture side that is not a whole
  // number of latent cells).
  static absl::StatusOr<std::unique_ptr<ModelSet>> Create(
      const Bundle& bundle, ComputeDevice& device);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_MODEL_SET_H_
