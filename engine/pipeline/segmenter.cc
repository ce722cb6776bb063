#include "engine/pipeline/segmenter.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/validate_options.h"
#include "engine/ops/matching.h"
#include "engine/ops/pamr.h"
#include "engine/ops/windows.h"
#include "engine/pipeline/label_map.h"
#include "engine/pipeline/picture_input.h"
#include "engine/pipeline/segment_classes.h"
#include "engine/runners/picture_tensor.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Class score maps merged at once: bounds memory for many kept classes.
constexpr int64_t kMergeBytes = int64_t{64} << 20;
// What a call may hold for PAMR: 1.6 million pixels with the method's
// dilations, so all that a bundle's `max_long_side` lets through.
constexpr int64_t kMaxAffinityBytes = int64_t{300} << 20;
// Maps that PAMR refines in one quantum.
constexpr int64_t kRefinedAtOnce = 4;

absl::Span<const float> SpanOf(const torch::Tensor& map) {
  return {map.data_ptr<float>(), static_cast<size_t>(map.numel())};
}

}  // namespace

// One call of Segment(): its state between stages.
class Segmenter::Job {
 public:
  Job(Segmenter& segmenter, const Image& image,
      absl::Span<const SegmentClass> classes, const SegmentOptions& options,
      const CallControl& control)
      : segmenter_(segmenter),
        image_(image),
        classes_(classes),
        options_(options),
        control_(control) {}

  absl::StatusOr<Segmentation> Run() {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    OVDIFF_RETURN_IF_ERROR(Filter());
    OVDIFF_RETURN_IF_ERROR(CutWindows());
    OVDIFF_RETURN_IF_ERROR(FilterStuff());
    OVDIFF_RETURN_IF_ERROR(MatchWindows());
    OVDIFF_RETURN_IF_ERROR(Label());
    return std::move(result_);
  }

 private:
  absl::Status Filter() {
    const absl::Time start = absl::Now();
    OVDIFF_ASSIGN_OR_RETURN(
        const std::vector<bool> kept,
        segmenter_.prefilter_.Keep(image_, classes_, options_.prefilter,
                                   control_, &result_.timings.queue));
    for (size_t i = 0; i < classes_.size(); ++i) {
      result_.classes.push_back({.label = classes_[i].label, .kept = kept[i]});
      if (kept[i]) {
        kept_.push_back(i);
      }
    }
    result_.timings.prefilter = absl::Now() - start;
    return absl::OkStatus();
  }

  absl::Status CutWindows() {
    const WindowOptions windows =
        ResolveWindows(options_.windows, segmenter_.bundle_);
    OVDIFF_ASSIGN_OR_RETURN(
        const Image picture,
        WorkingPicture(
            image_, windows.short_side,
            std::max(segmenter_.bundle_.max_long_side, windows.short_side)));
    picture_size_ = {picture.width, picture.height};
    if (options_.pamr.enabled) {
      OVDIFF_RETURN_IF_ERROR(ComputeAffinity(picture));
    }
    OVDIFF_ASSIGN_OR_RETURN(
        const std::vector<std::string> spaces,
        CommonSpaces(classes_, options_, segmenter_.bundle_));
    vectors_ =
        CollectVectors(classes_, kept_, spaces, options_, segmenter_.models_);
    OVDIFF_ASSIGN_OR_RETURN(
        windows_,
        SlidingWindows(
            picture_size_, windows.sizes, windows.stride, windows.whole_picture,
            segmenter_.max_windows_ / static_cast<int64_t>(vectors_.size())));
    result_.num_windows = static_cast<int>(windows_.size());
    for (const Window& window : windows_) {
      OVDIFF_RETURN_IF_ERROR(AddTasks(picture, window));
    }
    return absl::OkStatus();
  }

  absl::Status AddTasks(const Image& picture, const Window& window) {
    OVDIFF_ASSIGN_OR_RETURN(
        const Image crop, CropImage(picture, window.x, window.y, window.size));
    for (const SpaceVectors& vectors : vectors_) {
      WindowTask task;
      OVDIFF_ASSIGN_OR_RETURN(
          task.input,
          NetworkInput(crop, vectors.space->spec().window,
                       static_cast<int>(vectors.space->min_side())));
      task.noise_seed = options_.noise_seed;
      task.vectors = &vectors;
      tasks_.push_back(std::move(task));
    }
    return absl::OkStatus();
  }

  // Leaves out background vectors that look like stuff of this call, of which
  // the prefilter keeps all. One interactive quantum a space.
  absl::Status FilterStuff() {
    if (!options_.stuff_filter.enabled) {
      return absl::OkStatus();
    }
    const absl::Time start = absl::Now();
    for (SpaceVectors& vectors : vectors_) {
      std::vector<torch::Tensor> stuff;
      for (size_t i = 0; i < kept_.size(); ++i) {
        if (classes_[kept_[i]].kind == ClassKind::kStuff) {
          stuff.push_back(vectors.foregrounds[i]);
        }
      }
      if (stuff.empty() || vectors.backgrounds.empty()) {
        continue;
      }
      const auto count = static_cast<int64_t>(vectors.backgrounds.size());
      OVDIFF_RETURN_IF_ERROR(OnDevice(count, [&](int64_t i) {
        vectors.backgrounds[i] = WithoutSimilar(
            vectors.backgrounds[i], stuff, options_.stuff_filter.threshold);
        return absl::OkStatus();
      }));
    }
    result_.timings.matching += absl::Now() - start;
    return absl::OkStatus();
  }

  // task(i) for each i in [0, count): one interactive quantum.
  absl::Status OnDevice(int64_t count,
                        absl::FunctionRef<absl::Status(int64_t)> task) {
    absl::Duration queued;
    OVDIFF_RETURN_IF_ERROR(segmenter_.scheduler_.Run(
        [&] { return segmenter_.device_.ForEach(count, task); }, control_,
        &queued));
    result_.timings.queue += queued;
    return absl::OkStatus();
  }

  absl::Status MatchWindows() {
    const absl::Time start = absl::Now();
    absl::Duration queued;
    const std::vector<BatchGroup> groups =
        WindowMatcher::Group(absl::MakeSpan(tasks_));
    OVDIFF_RETURN_IF_ERROR(
        segmenter_.scheduler_.RunBatched(groups, control_, &queued));
    result_.timings.queue += queued;
    result_.timings.features = absl::Now() - start;
    return absl::OkStatus();
  }

  // What PAMR needs to know of the picture.
  absl::Status ComputeAffinity(const Image& picture) {
    const int64_t bytes = PamrAffinity::SizeBytes(
        picture.height, picture.width, options_.pamr.dilations.size());
    if (bytes > kMaxAffinityBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "segment.pamr needs ", bytes >> 20, " MiB for a working picture of ",
          picture.width, "x", picture.height, " pixels and ",
          options_.pamr.dilations.size(), " dilations; allowed are ",
          kMaxAffinityBytes >> 20,
          "; lower segment.windows.short_side or take fewer dilations"));
    }
    return OnDevice(1, [&](int64_t) {
      affinity_ = std::make_unique<const PamrAffinity>(
          ToTensor(picture).squeeze(0).mul_(255).to(
              segmenter_.device_.device()),
          options_.pamr.dilations);
      return absl::OkStatus();
    });
  }

  // Sums rows first to first + count - 1 of all tasks' scores, or their
  // backgrounds if count is 0, to [rows, H, W] on the CPU; undefined if no task
  // has any. One interactive quantum.
  absl::StatusOr<torch::Tensor> Merge(int64_t first, int64_t count) {
    torch::Tensor merged;
    OVDIFF_RETURN_IF_ERROR(OnDevice(1, [&](int64_t) {
      merged = MergeOnDevice(first, count);
      return absl::OkStatus();
    }));
    if (affinity_ == nullptr || !merged.defined()) {
      return merged;
    }
    return Refine(merged);
  }

  // PAMR of `maps` [K, H, W] on the CPU's memory; each map alone, so that the
  // portions in which they come change nothing.
  absl::StatusOr<torch::Tensor> Refine(const torch::Tensor& maps) {
    torch::Tensor refined = torch::empty_like(maps);
    for (int64_t first = 0; first < maps.size(0); first += kRefinedAtOnce) {
      const int64_t count = std::min(kRefinedAtOnce, maps.size(0) - first);
      OVDIFF_RETURN_IF_ERROR(OnDevice(count, [&](int64_t i) {
        const torch::Tensor map = maps.narrow(0, first + i, 1);
        refined.narrow(0, first + i, 1)
            .copy_(affinity_->Refine(map.to(segmenter_.device_.device()),
                                     options_.pamr.iterations));
        return absl::OkStatus();
      }));
    }
    return refined;
  }

  torch::Tensor MergeOnDevice(int64_t first, int64_t count) const {
    WindowMerger merger(std::max<int64_t>(count, 1), picture_size_,
                        segmenter_.device_.device());
    bool any = false;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      const Window& window = windows_[i / vectors_.size()];
      const double weight = vectors_[i % vectors_.size()].weight;
      if (count > 0) {
        merger.Add(tasks_[i].scores.narrow(0, first, count), window, weight);
        any = true;
      } else if (tasks_[i].background.has_value()) {
        merger.Add(tasks_[i].background->unsqueeze(0), window, weight);
        any = true;
      }
    }
    return any ? merger.Finish().to(torch::kCPU).contiguous() : torch::Tensor();
  }

  absl::Status Label() {
    const absl::Time start = absl::Now();
    LabelMapBuilder builder(picture_size_.width, picture_size_.height,
                            image_.width, image_.height);
    OVDIFF_RETURN_IF_ERROR(AddBackground(&builder));
    const int64_t map_bytes =
        int64_t{4} * picture_size_.width * picture_size_.height;
    const int64_t step = std::max<int64_t>(1, kMergeBytes / map_bytes);
    const auto rows = static_cast<int64_t>(kept_.size());
    for (int64_t first = 0; first < rows; first += step) {
      OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor scores,
                              Merge(first, std::min(step, rows - first)));
      for (int64_t row = 0; row < scores.size(0); ++row) {
        ClassResult& item = result_.classes[kept_[first + row]];
        item.max_score = builder.AddClass(item.label, SpanOf(scores[row]));
      }
    }
    Summarise(&builder);
    result_.timings.matching += absl::Now() - start;
    for (const WindowTask& task : tasks_) {
      result_.timings.matching += task.match_time;
    }
    return absl::OkStatus();
  }

  absl::Status AddBackground(LabelMapBuilder* builder) {
    if (!options_.use_background) {
      const std::vector<float> flat(
          static_cast<size_t>(picture_size_.width) * picture_size_.height,
          static_cast<float>(options_.background_threshold));
      builder->AddBackground(flat);
      return absl::OkStatus();
    }
    OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor background, Merge(0, 0));
    if (background.defined()) {
      builder->AddBackground(SpanOf(background));
    }
    return absl::OkStatus();
  }

  void Summarise(LabelMapBuilder* builder) {
    std::vector<LabelMapBuilder::ClassSummary> summaries;
    result_.labels = builder->Finish(&summaries);
    for (ClassResult& item : result_.classes) {
      const LabelMapBuilder::ClassSummary& summary = summaries[item.label];
      item.pixel_count = summary.pixel_count;
      if (summary.pixel_count > 0) {
        item.mean_score =
            summary.score_sum / static_cast<double>(summary.pixel_count);
      }
    }
  }

  Segmenter& segmenter_;
  const Image& image_;
  const absl::Span<const SegmentClass> classes_;
  const SegmentOptions& options_;
  const CallControl& control_;
  std::vector<size_t> kept_;
  ImageSize picture_size_;
  std::vector<SpaceVectors> vectors_;  // One a space.
  std::vector<Window> windows_;
  std::vector<WindowTask> tasks_;  // Window by window, space by space.
  std::unique_ptr<const PamrAffinity> affinity_;  // Null: no PAMR.
  Segmentation result_;
};

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
  const DeviceScheduler::InteractiveScope scope(scheduler_);
  Job job(*this, image, classes, options, control);
  return job.Run();
}

}  // namespace ovdiff::engine
