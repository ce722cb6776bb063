// SupportMasks: which pixels of the support pictures are the object and which
// surely are not (method.md section 2, the variant without CutLER).
#ifndef OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
#define OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/support_set.h"
#include "engine/ops/attribution.h"

namespace ovdiff::engine {

struct SupportMasks {
  AttributionMasks masks;  // [N, side, side] on the CPU
  OtsuThresholds thresholds;
  bool used_fallback = false;  // Otsu had no answer; options' thresholds
};

// Thresholds by 3-class multi-Otsu over the stretched maps of all pictures of
// the class together, applied to the maps at `side` pixels, stretched once more
// (method.md 14.15). kInvalidArgument if there is no picture, if maps differ in
// size, or a value is not finite or below 0. Throws what torch throws; runs on
// the device thread.
absl::StatusOr<SupportMasks> MakeSupportMasks(const SupportSet& support,
                                              const PrototypeOptions& options,
                                              int side);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
