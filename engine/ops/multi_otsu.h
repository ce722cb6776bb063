// Two thresholds that split values into three classes: multi-level Otsu, equal
// to skimage.filters.threshold_multiotsu(values, classes=3, nbins=…). No torch.
#ifndef OVDIFF_ENGINE_OPS_MULTI_OTSU_H_
#define OVDIFF_ENGINE_OPS_MULTI_OTSU_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace ovdiff::engine {

struct OtsuThresholds {
  float lower = 0;  // background: value < lower
  float upper = 0;  // foreground: value > upper
};

// Thresholds over `values`, all maps of a class together (method.md section 2),
// by a histogram of `num_bins` equal bins from the smallest to the largest
// value. lower < upper. Fails with
//   kFailedPrecondition  fewer than three bins hold a value; the caller then
//   uses
//                        PrototypeOptions::fallback_{background,foreground}
//   kInvalidArgument     no values, one that is not finite, or num_bins not in
//                        3…4096
absl::StatusOr<OtsuThresholds> MultiOtsuThresholds(
    absl::Span<const float> values, int num_bins);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_MULTI_OTSU_H_
