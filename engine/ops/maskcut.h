// MaskCut: the objects of a picture, cut one after the other out of its DINO
// features (Wang et al., "Cut and Learn", CVPR 2023, section 3.2; networks.md
// 6.2). Without the dense CRF that the authors' program runs afterwards: masks
// have whole cells.
#ifndef OVDIFF_ENGINE_OPS_MASKCUT_H_
#define OVDIFF_ENGINE_OPS_MASKCUT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/method_options.h"
#include "engine/ops/normalized_cut.h"
#include "torch/types.h"

namespace ovdiff::engine {

// One side of a cut.
struct CutSide {
  torch::Tensor cells;   // [gh, gw] bool on the CPU, not empty
  bool swapped = false;  // the object is where the cut's vector is small
};

// The side that is taken for the object, of it the part around its strongest
// cell that hangs together (over edges, not corners). The sides are those above
// and not above the vector's mean; the object is where the vector is strongest,
// unless that side has three or four of the grid's corners: then it is the
// ground, and the other side the object. `vector`: [grid_height * grid_width],
// as SecondCutVector() gives it; not all equal.
CutSide ObjectSide(absl::Span<const double> vector, int64_t grid_height,
                   int64_t grid_width);

// At most options.max_masks objects, in the order of their cuts. Each round
// cuts what is left: cells of the round before count as like nothing. A round's
// mask is dropped if it is the one before it again (intersection over union
// above 0.5), or has 1 % of the cells or less; earlier masks are taken out of
// later ones. Where a round has no cut (SecondCutVector()'s kFailedPrecondition
// or kAborted) the rounds end.
//
// `keys`: float32 [C, gh, gw], finite, gh * gw <= kMaxAffinityCells, any
// device. Returns [M, gh, gw] bool on the CPU, 0 <= M <= max_masks; masks are
// disjoint and not empty. kInvalidArgument for other keys, and for options out
// of the range in method_options.h. Some 2 (gh gw)^2 bytes are held on the CPU,
// 8 (gh gw)^2 on a GPU. Throws what torch throws.
absl::StatusOr<torch::Tensor> MaskCut(const torch::Tensor& keys,
                                      const MaskCutOptions& options,
                                      const CutOptions& cut_options = {});

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_MASKCUT_H_
