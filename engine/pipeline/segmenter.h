// Segmenter: a picture and the prototypes of a vocabulary to one label per
// pixel (OVDiff section 3.3; method.md sections 6 and 7).
#ifndef OVDIFF_ENGINE_PIPELINE_SEGMENTER_H_
#define OVDIFF_ENGINE_PIPELINE_SEGMENTER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/pipeline/picture_scores.h"
#include "engine/pipeline/prefilter.h"
#include "engine/pipeline/window_matcher.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Thread-safe: calls block their caller, which also resizes, cuts and labels.
//
// Scores: per space and window the best cosine of a cell to any vector of a
// class, upsampled bilinear to the window; a plain mean over all windows that
// see a pixel and all spaces; classes that the prefilter dropped take no part,
// so that a large vocabulary costs what its kept classes do. Background is the
// best cosine to any background vector of any kept class, averaged likewise
// over the spaces that have one; a space without abstains, and if all do,
// background scores 0. Scores of 0 or less are background; equal ones go to the
// lower label, background being 0.
//
// Stuff filter: stuff classes bring no background vectors, and a thing's is
// left out, per space, if its cosine to a foreground vector of a stuff class of
// the same call is above the threshold; only vectors of the levels in use
// count. Of nothing but stuff, background has none, and so it has where all
// look like stuff; without stuff nothing is left out. PAMR refines the fused
// maps, background's too, before the best is chosen at the picture's own size.
class Segmenter {
 public:
  // All must outlive this. `max_windows`: of one picture and all its spaces.
  static absl::StatusOr<std::unique_ptr<Segmenter>> Create(
      const Bundle& bundle, const ModelSet& models, ComputeDevice& device,
      DeviceScheduler& scheduler, int64_t max_windows);

  // As Engine::Segment(). kFailedPrecondition if a class lacks a space that is
  // asked for, or all classes have none in common.
  absl::StatusOr<Segmentation> Segment(const Image& image,
                                       absl::Span<const SegmentClass> classes,
                                       const SegmentOptions& options,
                                       const CallControl& control);

  // As Engine::Explain().
  absl::StatusOr<Explanation> Explain(const Image& image,
                                      absl::Span<const SegmentClass> classes,
                                      const SegmentOptions& options,
                                      const ExplainTarget& target,
                                      const CallControl& control);

  // As Engine::CompareWithNames().
  absl::StatusOr<std::vector<double>> CompareWithNames(
      const Image& picture, absl::Span<const std::string> names,
      const CallControl& control);

  const WindowMatcher& matcher() const { return *matcher_; }

 private:
  Segmenter(const Bundle& bundle, const ModelSet& models, ComputeDevice& device,
            DeviceScheduler& scheduler, int64_t max_windows)
      : prefilter_(bundle.prefilter, models, device, scheduler),
        parts_{bundle, models, device, scheduler, prefilter_, max_windows} {}

  Prefilter prefilter_;
  const ScoringParts parts_;
  std::unique_ptr<WindowMatcher> matcher_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SEGMENTER_H_
