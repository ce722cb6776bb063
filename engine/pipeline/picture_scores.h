// PictureScores: one picture compared with the classes of one call, as score
// maps of the working picture: the stages that Segment() and Explain() share
// (OVDiff section 3.3; method.md sections 6 and 7).
#ifndef OVDIFF_ENGINE_PIPELINE_PICTURE_SCORES_H_
#define OVDIFF_ENGINE_PIPELINE_PICTURE_SCORES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/ops/pamr.h"
#include "engine/ops/windows.h"
#include "engine/pipeline/prefilter.h"
#include "engine/pipeline/window_matcher.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"
#include "torch/types.h"

namespace ovdiff::engine {

// What compares. All must outlive the calls.
struct ScoringParts {
  const Bundle& bundle;
  const ModelSet& models;
  ComputeDevice& device;
  DeviceScheduler& scheduler;
  Prefilter& prefilter;
  int64_t max_windows;  // Of one picture and all its spaces.
};

// One call's state between stages. Scores are defined in segmenter.h.
// Thread-compatible; blocks its caller, which also resizes and cuts.
class PictureScores {
 public:
  // REQUIRES: image and classes are checked; all outlive this.
  PictureScores(const ScoringParts& parts, const Image& image,
                absl::Span<const SegmentClass> classes,
                const SegmentOptions& options, const CallControl& control);

  // Prefilter, windows, vectors, stuff filter. Once, first.
  absl::Status Prepare();
  // All windows through all spaces.
  absl::Status Match();

  // What Prepare() found. By the call's classes, whether each is kept:
  const std::vector<bool>& is_kept() const { return is_kept_; }
  // Indices of those that are, ascending.
  const std::vector<size_t>& kept() const { return kept_; }
  // Of the working picture and so of the maps.
  ImageSize size() const { return picture_size_; }
  int num_windows() const { return static_cast<int>(windows_.size()); }
  const std::vector<SpaceVectors>& vectors() const { return vectors_; }

  // Fused score maps, refined if PAMR is on, after Match(). `map` is
  // [height, width] of size(), row-major, valid during the call.
  using Visit = absl::FunctionRef<void(absl::Span<const float> map)>;
  using VisitClass =
      absl::FunctionRef<void(size_t kept_index, absl::Span<const float> map)>;
  // Not called if background has no map: then it scores 0.
  absl::Status VisitBackground(Visit visit);
  // In order: kept() `first` to `first` + `count` - 1.
  absl::Status VisitClasses(size_t first, size_t count, VisitClass visit);

  // What every vector says of the place whose pixels, of the working picture,
  // have these weights; they sum up to 1.
  //
  // Asks for it: the next Match() will tell. If Match() has run, MatchAgain()
  // runs the windows that see the place once more.
  void Probe(absl::Span<const PixelWeight> place);
  absl::Status MatchAgain();
  // By space, summed over the windows.
  std::vector<ProbeResult> Probed() const;

  StageTimings& timings() { return timings_; }

 private:
  absl::Status Filter();
  absl::Status CutWindows();
  absl::Status AddTasks(const Image& picture, const Window& window);
  absl::Status FilterStuff();
  absl::Status ComputeAffinity(const Image& picture);
  absl::Status RunTasks(absl::Span<WindowTask* const> tasks);
  // task(i) for each i in [0, count): one interactive quantum.
  absl::Status OnDevice(int64_t count,
                        absl::FunctionRef<absl::Status(int64_t)> task);
  // Sums rows first to first + count - 1 of all tasks' scores, or their
  // backgrounds if count is 0, to [rows, H, W] on the CPU; undefined if no task
  // has any. One interactive quantum.
  absl::StatusOr<torch::Tensor> Merge(int64_t first, int64_t count);
  torch::Tensor MergeOnDevice(int64_t first, int64_t count) const;
  // PAMR of `maps` [K, H, W] on the CPU's memory; each map alone, so that the
  // portions in which they come change nothing.
  absl::StatusOr<torch::Tensor> Refine(const torch::Tensor& maps);

  const ScoringParts& parts_;
  const Image& image_;
  const absl::Span<const SegmentClass> classes_;
  const SegmentOptions& options_;
  const CallControl& control_;
  std::vector<bool> is_kept_;
  std::vector<size_t> kept_;
  ImageSize picture_size_;
  std::vector<SpaceVectors> vectors_;  // One a space.
  std::vector<Window> windows_;
  std::vector<WindowTask> tasks_;  // Window by window, space by space.
  std::unique_ptr<const PamrAffinity> affinity_;  // Null: no PAMR.
  StageTimings timings_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PICTURE_SCORES_H_
