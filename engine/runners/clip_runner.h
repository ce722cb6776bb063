// ClipRunner: one CLIPModel, for picture and text embeddings (the prefilter)
// and for keys of its vision tower (a feature space).
#ifndef OVDIFF_ENGINE_RUNNERS_CLIP_RUNNER_H_
#define OVDIFF_ENGINE_RUNNERS_CLIP_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/nn/clip_model.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runtime/compute_device.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Immutable after Create(). The methods that return tensors throw what torch
// throws: call them through ComputeDevice.
class ClipRunner {
 public:
  // Loads `folder`. Errors as LoadNetwork().
  static absl::StatusOr<std::shared_ptr<const ClipRunner>> Create(
      const std::string& folder, const ComputeDevice& device);

  int64_t num_vision_layers() const {
    return clip_->vision_model->num_layers();
  }
  int64_t patch_size() const { return clip_->vision_model->patch_size(); }
  int64_t vision_dim() const {
    return clip_->config().vision_config.hidden_size;
  }
  int64_t context_length() const {
    return clip_->config().text_config.max_position_embeddings;
  }
  int64_t vocab_size() const { return clip_->config().text_config.vocab_size; }

  // Embedding of length 1, float32 [B, P], of normalised pixels [B, 3, H, W].
  torch::Tensor EmbedImages(const torch::Tensor& pixels) const;

  // Embeddings of length 1, float32 [B, P], of texts of equal length, ids with
  // start and end token but without padding: attention is causal, so padding
  // could not change them (networks.md 1.8).
  torch::Tensor EmbedTexts(const std::vector<std::vector<int64_t>>& ids) const;

  // Keys float32 [B, C, gh, gw] of normalised pixels [B, 3, H, W].
  torch::Tensor PatchKeys(const torch::Tensor& pixels, int64_t layer,
                          PositionRule rule) const;

 private:
  ClipRunner(CLIPModel clip, const ComputeDevice& device)
      : clip_(std::move(clip)),
        device_(device.device()),
        dtype_(device.dtype()) {}

  mutable CLIPModel clip_;  // forward is not const but changes nothing
  torch::Device device_;
  torch::Dtype dtype_;
};

// Keys of a CLIP vision tower's block; the class token is dropped.
class ClipFeatures final : public FeatureExtractor {
 public:
  // kFailedPrecondition if spec.layer is not a block of the tower.
  static absl::StatusOr<std::unique_ptr<ClipFeatures>> Create(
      const SpaceSpec& spec, std::shared_ptr<const ClipRunner> runner);

  const SpaceSpec& spec() const override { return spec_; }
  int64_t feature_dim() const override { return runner_->vision_dim(); }
  int64_t min_side() const override { return runner_->patch_size(); }
  torch::Tensor Extract(const torch::Tensor& images,
                        const FeatureNoise& noise) const override;

 private:
  ClipFeatures(const SpaceSpec& spec, std::shared_ptr<const ClipRunner> runner)
      : spec_(spec), runner_(std::move(runner)) {}

  const SpaceSpec spec_;
  std::shared_ptr<const ClipRunner> runner_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_CLIP_RUNNER_H_
