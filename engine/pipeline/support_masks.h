// SupportMasks: which pixels of the support pictures are the object and which
// surely are not: by thresholds on the attribution maps (method.md section 2,
// the variant without CutLER), or by masks that a proposer found (section 3).
#ifndef OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
#define OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/support_set.h"
#include "engine/ops/attribution.h"

namespace ovdiff::engine {

struct SupportMasks {
  AttributionMasks masks;  // [N, side, side] on the CPU
  // Of attribution: what was above and below them, where no mask was chosen.
  OtsuThresholds thresholds;
  // The options' own thresholds were used: Otsu had no answer, or some picture
  // had no proposal that could be chosen.
  bool used_fallback = false;
};

// Thresholds by 3-class multi-Otsu over the stretched maps of all pictures of
// the class together, applied to the maps at `side` pixels, stretched once more
// (method.md 14.15). kInvalidArgument if there is no picture, if maps differ in
// size, or a value is not finite or below 0. Throws what torch throws; runs on
// the device thread.
absl::StatusOr<SupportMasks> MakeSupportMasks(const SupportSet& support,
                                              const PrototypeOptions& options,
                                              int side);

// By SelectMasks() on the maps at `side` pixels, stretched twice as above.
// `proposals`: one [M, h, w] bool tensor on the CPU per picture, M >= 0, on any
// grid; stretched to `side` by nearest cell. Errors as above, and
// kInvalidArgument if there is not one per picture.
absl::StatusOr<SupportMasks> ChooseSupportMasks(
    const SupportSet& support, const std::vector<torch::Tensor>& proposals,
    const PrototypeOptions& options, int side);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
