#include "engine/runners/clip_runner.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "engine/runners/load_network.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/vision_layers.h"
#include "engine/weights/key_map.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

torch::Tensor UnitRows(const torch::Tensor& rows) {
  const torch::Tensor values = rows.to(torch::kFloat32);
  return values / values.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ClipRunner>> ClipRunner::Create(
    const std::string& folder, const ComputeDevice& device) {
  OVDIFF_ASSIGN_OR_RETURN(
      CLIPModel clip,
      (LoadNetwork<CLIPModel, CLIPConfig>({.what = "clip",
                                           .folder = folder,
                                           .stem = "model",
                                           .rename = &ToClipModelKeys,
                                           .ignore = IgnoredClipModelKeys()},
                                          device.device(), device.dtype())));
  return std::shared_ptr<const ClipRunner>(
      new ClipRunner(std::move(clip), device));
}

torch::Tensor ClipRunner::EmbedImages(const torch::Tensor& pixels) const {
  return UnitRows(
      clip_->ImageFeatures(pixels.to(dtype_), PositionInterpolation::kSize));
}

torch::Tensor ClipRunner::EmbedTexts(
    const std::vector<std::vector<int64_t>>& ids) const {
  std::vector<torch::Tensor> rows;
  for (const std::vector<int64_t>& text : ids) {
    rows.push_back(torch::tensor(text, torch::kInt64));
  }
  return UnitRows(clip_->TextFeatures(torch::stack(rows).to(device_)));
}

torch::Tensor ClipRunner::PatchKeys(const torch::Tensor& pixels, int64_t layer,
                                    PositionRule rule) const {
  return clip_->vision_model
      ->PatchKeys(pixels.to(dtype_), layer, ToInterpolation(rule))
      .to(torch::kFloat32);
}

absl::StatusOr<std::unique_ptr<ClipFeatures>> ClipFeatures::Create(
    const SpaceSpec& spec, std::shared_ptr<const ClipRunner> runner) {
  OVDIFF_RETURN_IF_ERROR(CheckLayer(spec, runner->num_vision_layers()));
  return std::unique_ptr<ClipFeatures>(
      new ClipFeatures(spec, std::move(runner)));
}

torch::Tensor ClipFeatures::Extract(const torch::Tensor& images,
                                    const FeatureNoise& /*noise*/) const {
  return runner_->PatchKeys(Normalize(images, spec_.normalization), spec_.layer,
                            spec_.position_rule);
}

}  // namespace ovdiff::engine
