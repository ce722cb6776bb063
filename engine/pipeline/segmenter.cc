#include "engine/pipeline/segmenter.h"

#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/explainer.h"
#include "engine/pipeline/label_map.h"
#include "engine/pipeline/picture_input.h"
#include "engine/pipeline/segment_classes.h"

namespace ovdiff::engine {
namespace {

// Chooses labels: the end of a Segment() call. `scores` are matched.
absl::StatusOr<Segmentation> Label(const Image& image,
                                   absl::Span<const SegmentClass> classes,
                                   PictureScores* scores) {
  Segmentation result;
  for (size_t i = 0; i < classes.size(); ++i) {
    result.classes.push_back(
        {.label = classes[i].label, .kept = scores->is_kept()[i]});
  }
  LabelMapBuilder builder(scores->size().width, scores->size().height,
                          image.width, image.height);
  OVDIFF_RETURN_IF_ERROR(scores->VisitBackground(
      [&](absl::Span<const float> map) { builder.AddBackground(map); }));
  OVDIFF_RETURN_IF_ERROR(scores->VisitClasses(
      0, scores->kept().size(),
      [&](size_t kept_index, absl::Span<const float> map) {
        ClassResult& item = result.classes[scores->kept()[kept_index]];
        item.max_score = builder.AddClass(item.label, map);
      }));
  std::vector<LabelMapBuilder::ClassSummary> summaries;
  result.labels = builder.Finish(&summaries);
  for (ClassResult& item : result.classes) {
    const LabelMapBuilder::ClassSummary& summary = summaries[item.label];
    item.pixel_count = summary.pixel_count;
    if (summary.pixel_count > 0) {
      item.mean_score =
          summary.score_sum / static_cast<double>(summary.pixel_count);
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Segmenter>> Segmenter::Create(
    const Bundle& bundle, const ModelSet& models, ComputeDevice& device,
    DeviceScheduler& scheduler, int64_t max_windows) {
  std::unique_ptr<Segmenter> segmenter(
      new Segmenter(bundle, models, device, scheduler, max_windows));
  OVDIFF_ASSIGN_OR_RETURN(segmenter->matcher_,
                          WindowMatcher::Create(models, device, scheduler));
  return segmenter;
}

absl::StatusOr<Segmentation> Segmenter::Segment(
    const Image& image, absl::Span<const SegmentClass> classes,
    const SegmentOptions& options, const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(CheckImage(image));
  OVDIFF_RETURN_IF_ERROR(CheckClasses(classes));
  const DeviceScheduler::InteractiveScope scope(parts_.scheduler);
  PictureScores scores(parts_, image, classes, options, control);
  OVDIFF_RETURN_IF_ERROR(scores.Prepare());
  OVDIFF_RETURN_IF_ERROR(scores.Match());
  const absl::Time start = absl::Now();
  OVDIFF_ASSIGN_OR_RETURN(Segmentation result, Label(image, classes, &scores));
  scores.timings().matching += absl::Now() - start;
  result.timings = scores.timings();
  result.num_windows = scores.num_windows();
  return result;
}

absl::StatusOr<std::vector<double>> Segmenter::CompareWithNames(
    const Image& picture, absl::Span<const std::string> names,
    const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(CheckImage(picture));
  return prefilter_.CompareWithNames(picture, names, control);
}

absl::StatusOr<Explanation> Segmenter::Explain(
    const Image& image, absl::Span<const SegmentClass> classes,
    const SegmentOptions& options, const ExplainTarget& target,
    const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(CheckImage(image));
  OVDIFF_RETURN_IF_ERROR(CheckClasses(classes));
  const DeviceScheduler::InteractiveScope scope(parts_.scheduler);
  return ExplainPixel(parts_, image, classes, options, target, control);
}

}  // namespace ovdiff::engine
