// SupportMasks: which pixels of the support pictures are the object and which
// surely are not: by thresholds on the attribution maps (method.md section 2,
// the variant without CutLER), or by masks that a proposer found (section 3).
//
// A picture that came with its mask has that in either case, brought to `side`:
// a pixel is foreground when half of it is inside (or, if that is none, when it
// is touched at all), background when nothing of it is; one whose mask covers
// everything has no background. Its attribution is not looked at, and may be
// empty.
#ifndef OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
#define OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/support_set.h"
#include "engine/ops/attribution.h"

namespace ovdiff::engine {

struct SupportMasks {
  AttributionMasks masks;  // [N, side, side] on the CPU
  // Of attribution: what was above and below them, where no mask was chosen or
  // given.
  OtsuThresholds thresholds;
  // The options' own thresholds were used: Otsu had no answer, or some picture
  // had no proposal that could be chosen.
  bool used_fallback = false;
};

// Pictures that did not come with their mask, ascending.
std::vector<int64_t> PicturesWithoutMask(const SupportSet& support);

// Thresholds by 3-class multi-Otsu over the stretched maps of all pictures of
// the class together, those without a mask of their own, applied to the maps at
// `side` pixels, stretched once more (method.md 14.15). kInvalidArgument if
// there is no picture, if maps differ in size, a value is not finite or below
// 0, or a given mask has no pixel or not its picture's size. Throws what torch
// throws; runs on the device thread.
absl::StatusOr<SupportMasks> MakeSupportMasks(const SupportSet& support,
                                              const PrototypeOptions& options,
                                              int side);

// By SelectMasks() on the maps at `side` pixels, stretched twice as above.
// `proposals`: one [M, h, w] bool tensor on the CPU per picture, M >= 0, on any
// grid; stretched to `side` by nearest cell; that of a picture with a mask is
// not looked at. Errors as above, and kInvalidArgument if there is not one per
// picture.
absl::StatusOr<SupportMasks> ChooseSupportMasks(
    const SupportSet& support, const std::vector<torch::Tensor>& proposals,
    const PrototypeOptions& options, int side);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUPPORT_MASKS_H_
