// CutlerRunner: CutLER's detector as a source of masks (OVDiff section 3.1;
// method.md section 3).
#ifndef OVDIFF_ENGINE_RUNNERS_CUTLER_RUNNER_H_
#define OVDIFF_ENGINE_RUNNERS_CUTLER_RUNNER_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/bundle/bundle.h"
#include "engine/nn/cascade_rcnn/cascade_rcnn.h"
#include "engine/runners/mask_proposer.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Always float32, as the detector was: what is above a threshold must not hang
// on the precision.
class CutlerRunner final : public MaskProposer {
 public:
  // Loads spec.folder. Errors as LoadNetwork().
  static absl::StatusOr<std::unique_ptr<CutlerRunner>> Create(
      const CutlerSpec& spec, const ComputeDevice& device);

  // `network`: loaded, on `device`, in float32.
  CutlerRunner(const CutlerSpec& spec, CascadeRcnn network,
               torch::Device device)
      : spec_(spec), network_(std::move(network)), device_(device) {}

  // Objects with a score above options.score_threshold, the best
  // options.max_detections of them; boxes in the picture's pixels, none empty.
  // Arguments and errors as Propose().
  absl::StatusOr<Detections> Detect(const Image& picture,
                                    const CutlerOptions& options) const;

  // Masks of the detections, best first: of the picture's size, or of its shape
  // with at most 2^20 pixels where it has more.
  absl::StatusOr<torch::Tensor> Propose(
      const Image& picture, const PrototypeOptions& options) const override;

 private:
  const CutlerSpec spec_;
  mutable CascadeRcnn network_;  // forward is not const but changes nothing
  const torch::Device device_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_CUTLER_RUNNER_H_
