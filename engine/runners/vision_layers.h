// What the two vision towers share in reading their space's specification.
#ifndef OVDIFF_ENGINE_RUNNERS_VISION_LAYERS_H_
#define OVDIFF_ENGINE_RUNNERS_VISION_LAYERS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/bundle/bundle.h"
#include "engine/nn/position_interpolation.h"

namespace ovdiff::engine {

// kFailedPrecondition unless spec.layer names one of `num_layers` blocks, from
// the start (0) or the end (-1).
inline absl::Status CheckLayer(const SpaceSpec& spec, int64_t num_layers) {
  if (spec.layer >= -num_layers && spec.layer < num_layers) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "space ", spec.name, ": \"layer\" is ", spec.layer, "; the network has ",
      num_layers, " blocks, 0 to ", num_layers - 1, " or -1 to ", -num_layers));
}

inline PositionInterpolation ToInterpolation(PositionRule rule) {
  return rule == PositionRule::kSize ? PositionInterpolation::kSize
                                     : PositionInterpolation::kScaleFactor;
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_VISION_LAYERS_H_
