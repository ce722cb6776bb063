#include "engine/runners/model_set.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/runners/cutler_runner.h"
#include "engine/runners/dino_runner.h"
#include "engine/runners/maskcut_runner.h"
#include "engine/runners/stable_diffusion_features.h"

namespace ovdiff::engine {
namespace {

// CLIP runners by folder: the prefilter and a feature space often share one.
class ClipRunners {
 public:
  explicit ClipRunners(const ComputeDevice& device) : device_(device) {}

  absl::StatusOr<std::shared_ptr<const ClipRunner>> Get(
      const std::string& folder) {
    auto& runner = loaded_[folder];
    if (runner == nullptr) {
      OVDIFF_ASSIGN_OR_RETURN(runner, ClipRunner::Create(folder, device_));
    }
    return runner;
  }

 private:
  const ComputeDevice& device_;
  std::map<std::string, std::shared_ptr<const ClipRunner>> loaded_;
};

absl::StatusOr<std::unique_ptr<FeatureExtractor>> CreateSpace(
    const SpaceSpec& spec, const StableDiffusionRunner& diffusion,
    ClipRunners& clips, ComputeDevice& device) {
  switch (spec.type) {
    case SpaceType::kStableDiffusion:
      return StableDiffusionFeatures::Create(spec, diffusion, device);
    case SpaceType::kVit:
      return DinoRunner::Create(spec, device);
    case SpaceType::kClipVision: {
      OVDIFF_ASSIGN_OR_RETURN(auto runner, clips.Get(spec.folder));
      return ClipFeatures::Create(spec, std::move(runner));
    }
  }
  return absl::InternalError("unknown space type");
}

absl::Status CheckPictureSize(const Bundle& bundle,
                              const StableDiffusionRunner& diffusion) {
  if (bundle.picture_size % diffusion.downscale() == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "bundle ", bundle.name, ": \"picture_size\" is ", bundle.picture_size,
      "; allowed are multiples of ", diffusion.downscale(),
      ", the vae's pixels per latent cell"));
}

absl::Status CheckVocabulary(const Bundle& bundle,
                             const ClipTokenizer& tokenizer,
                             int64_t network_vocabulary) {
  if (tokenizer.vocab_size() <= network_vocabulary) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      bundle.prefilter.tokenizer, " has ", tokenizer.vocab_size(),
      " tokens, the network in ", bundle.prefilter.folder, " knows ",
      network_vocabulary, "; they do not belong together"));
}

}  // namespace

const FeatureExtractor* ModelSet::FindSpace(const std::string& name) const {
  for (const auto& space : spaces) {
    if (space->spec().name == name) {
      return space.get();
    }
  }
  return nullptr;
}

const MaskProposer* ModelSet::FindProposer(
    const std::string& mask_source) const {
  if (mask_source == kMaskCutMasks) {
    return maskcut.get();
  }
  return mask_source == kCutlerMasks ? cutler.get() : nullptr;
}

absl::StatusOr<std::unique_ptr<ModelSet>> ModelSet::Create(
    const Bundle& bundle, ComputeDevice& device) {
  auto models = std::make_unique<ModelSet>();
  OVDIFF_ASSIGN_OR_RETURN(
      models->diffusion,
      StableDiffusionRunner::Create(bundle.diffusion_folder, device));
  OVDIFF_RETURN_IF_ERROR(CheckPictureSize(bundle, *models->diffusion));
  ClipRunners clips(device);
  for (const SpaceSpec& spec : bundle.spaces) {
    OVDIFF_ASSIGN_OR_RETURN(
        auto space, CreateSpace(spec, *models->diffusion, clips, device));
    models->spaces.push_back(std::move(space));
  }
  if (bundle.maskcut.has_value()) {
    OVDIFF_ASSIGN_OR_RETURN(
        models->maskcut,
        MaskCutRunner::Create(*bundle.maskcut,
                              *models->FindSpace(bundle.maskcut->space),
                              device));
  }
  if (bundle.cutler.has_value()) {
    OVDIFF_ASSIGN_OR_RETURN(models->cutler,
                            CutlerRunner::Create(*bundle.cutler, device));
  }
  OVDIFF_ASSIGN_OR_RETURN(models->prefilter,
                          clips.Get(bundle.prefilter.folder));
  OVDIFF_ASSIGN_OR_RETURN(models->prefilter_tokenizer,
                          ClipTokenizer::Create(bundle.prefilter.tokenizer));
  OVDIFF_RETURN_IF_ERROR(CheckVocabulary(bundle, *models->prefilter_tokenizer,
                                         models->prefilter->vocab_size()));
  return models;
}

}  // namespace ovdiff::engine
