#include "engine/runners/maskcut_runner.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/ops/key_affinity.h"
#include "engine/ops/maskcut.h"
#include "engine/ops/resample.h"
#include "engine/runners/picture_tensor.h"

namespace ovdiff::engine {

absl::StatusOr<std::unique_ptr<MaskCutRunner>> MaskCutRunner::Create(
    const MaskCutSpec& spec, const FeatureExtractor& extractor,
    const ComputeDevice& device) {
  // A vision transformer's smallest side is its patch.
  const int64_t patch = extractor.min_side();
  const int64_t cells =
      std::max<int64_t>(1, std::llround(static_cast<double>(spec.input_size) /
                                        static_cast<double>(patch)));
  if (cells * cells > kMaxAffinityCells) {
    const auto most =
        static_cast<int64_t>(std::sqrt(static_cast<double>(kMaxAffinityCells)));
    return absl::FailedPreconditionError(
        absl::StrCat("maskcut: \"input_size\" ", spec.input_size, " gives ",
                     cells, "x", cells, " cells of space ", spec.space,
                     ", whose patches have ", patch, " pixels; allowed are ",
                     most, "x", most, ", that is ", most * patch, " pixels"));
  }
  return std::unique_ptr<MaskCutRunner>(new MaskCutRunner(
      extractor, static_cast<int>(cells * patch), device.device()));
}

absl::StatusOr<torch::Tensor> MaskCutRunner::Propose(
    const Image& picture, const PrototypeOptions& options) const {
  OVDIFF_ASSIGN_OR_RETURN(
      const Image input,
      ResizeImage(picture, {side_, side_}, ResampleFilter::kLanczos));
  const torch::Tensor keys = extractor_.Extract(
      ToTensor(input).to(device_), {.seed = options.noise_seed})[0];
  if (!keys.isfinite().all().item<bool>()) {
    return absl::InternalError(absl::StrCat(
        "space ", extractor_.spec().name,
        ": the features that MaskCut cuts are not finite; the weights or their "
        "precision do not suit"));
  }
  return MaskCut(keys.contiguous(), options.maskcut);
}

}  // namespace ovdiff::engine
