// MaskProposer: the objects that might be in a support picture, for a mask
// source that finds them without the class's name (OVDiff section 3.1).
#ifndef OVDIFF_ENGINE_RUNNERS_MASK_PROPOSER_H_
#define OVDIFF_ENGINE_RUNNERS_MASK_PROPOSER_H_

#include "absl/status/statusor.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-safe: proposing changes nothing. Runs on the device thread and its
// lanes only, one picture a call.
class MaskProposer {
 public:
  virtual ~MaskProposer() = default;

  // [M, h, w] bool on the CPU, M >= 0: the masks over the whole picture, on a
  // grid of the source's own. `picture`: not empty. `options`: validated.
  // kInternal if the network's values are not finite. Throws what torch throws:
  // call it through ComputeDevice.
  virtual absl::StatusOr<torch::Tensor> Propose(
      const Image& picture, const PrototypeOptions& options) const = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_MASK_PROPOSER_H_
