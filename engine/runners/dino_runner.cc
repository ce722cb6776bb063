#include "engine/runners/dino_runner.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "engine/runners/load_network.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/vision_layers.h"
#include "engine/weights/key_map.h"

namespace ovdiff::engine {

absl::StatusOr<std::unique_ptr<DinoRunner>> DinoRunner::Create(
    const SpaceSpec& spec, const ComputeDevice& device) {
  OVDIFF_ASSIGN_OR_RETURN(
      VisionTransformer vit,
      (LoadNetwork<VisionTransformer, VisionTransformerConfig>(
          {.what = spec.name,
           .folder = spec.folder,
           .stem = "model",
           .rename = &ToVisionTransformerKeys,
           .ignore = IgnoredVisionTransformerKeys()},
          device.device(), device.dtype())));
  OVDIFF_RETURN_IF_ERROR(CheckLayer(spec, vit->num_layers()));
  return std::unique_ptr<DinoRunner>(
      new DinoRunner(spec, std::move(vit), device.dtype()));
}

torch::Tensor DinoRunner::Extract(const torch::Tensor& images,
                                  const FeatureNoise& /*noise*/) const {
  const torch::Tensor pixels = Normalize(images, spec_.normalization);
  return vit_
      ->PatchKeys(pixels.to(dtype_), spec_.layer,
                  ToInterpolation(spec_.position_rule))
      .to(torch::kFloat32);
}

}  // namespace ovdiff::engine
