#include "engine/pipeline/picture_scores.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/validate_options.h"
#include "engine/ops/matching.h"
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

// What `task` adds to the sum of its space.
void Add(const ProbeResult& part, ProbeResult* sum) {
  const auto add = [](const std::vector<float>& from, std::vector<float>* to) {
    to->resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
      (*to)[i] += from[i];
    }
  };
  const auto add_all = [&](const std::vector<std::vector<float>>& from,
                           std::vector<std::vector<float>>* to) {
    to->resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
      add(from[i], &(*to)[i]);
    }
  };
  add(part.scores, &sum->scores);
  if (part.background.has_value()) {
    sum->background = sum->background.value_or(0) + *part.background;
  }
  add_all(part.foregrounds, &sum->foregrounds);
  add_all(part.backgrounds, &sum->backgrounds);
}

bool Sees(const Window& window, const PixelWeight& pixel) {
  return pixel.x >= window.x && pixel.x < window.x + window.size.width &&
         pixel.y >= window.y && pixel.y < window.y + window.size.height;
}

}  // namespace

PictureScores::PictureScores(const ScoringParts& parts, const Image& image,
                             absl::Span<const SegmentClass> classes,
                             const SegmentOptions& options,
                             const CallControl& control)
    : parts_(parts),
      image_(image),
      classes_(classes),
      options_(options),
      control_(control) {}

absl::Status PictureScores::Prepare() {
  OVDIFF_RETURN_IF_ERROR(control_.Check());
  OVDIFF_RETURN_IF_ERROR(Filter());
  OVDIFF_RETURN_IF_ERROR(CutWindows());
  return FilterStuff();
}

absl::Status PictureScores::Filter() {
  const absl::Time start = absl::Now();
  OVDIFF_ASSIGN_OR_RETURN(
      is_kept_, parts_.prefilter.Keep(image_, classes_, options_.prefilter,
                                      control_, &timings_.queue));
  for (size_t i = 0; i < is_kept_.size(); ++i) {
    if (is_kept_[i]) {
      kept_.push_back(i);
    }
  }
  timings_.prefilter = absl::Now() - start;
  return absl::OkStatus();
}

absl::Status PictureScores::CutWindows() {
  const WindowOptions windows = ResolveWindows(options_.windows, parts_.bundle);
  OVDIFF_ASSIGN_OR_RETURN(const Image picture,
                          WorkingPicture(image_, windows.short_side,
                                         std::max(parts_.bundle.max_long_side,
                                                  windows.short_side)));
  picture_size_ = {picture.width, picture.height};
  if (options_.pamr.enabled) {
    OVDIFF_RETURN_IF_ERROR(ComputeAffinity(picture));
  }
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<std::string> spaces,
                          CommonSpaces(classes_, options_, parts_.bundle));
  vectors_ = CollectVectors(classes_, kept_, spaces, options_, parts_.models);
  OVDIFF_ASSIGN_OR_RETURN(
      windows_,
      SlidingWindows(
          picture_size_, windows.sizes, windows.stride, windows.whole_picture,
          parts_.max_windows / static_cast<int64_t>(vectors_.size())));
  for (const Window& window : windows_) {
    OVDIFF_RETURN_IF_ERROR(AddTasks(picture, window));
  }
  return absl::OkStatus();
}

absl::Status PictureScores::AddTasks(const Image& picture,
                                     const Window& window) {
  OVDIFF_ASSIGN_OR_RETURN(const Image crop,
                          CropImage(picture, window.x, window.y, window.size));
  for (const SpaceVectors& vectors : vectors_) {
    WindowTask task;
    OVDIFF_ASSIGN_OR_RETURN(
        task.input, NetworkInput(crop, vectors.space->spec().window,
                                 static_cast<int>(vectors.space->min_side())));
    task.noise_seed = options_.noise_seed;
    task.vectors = &vectors;
    task.size = window.size;
    tasks_.push_back(std::move(task));
  }
  return absl::OkStatus();
}

// Leaves out vectors that look like stuff of this call, of which the prefilter
// keeps all. One interactive quantum a space.
absl::Status PictureScores::FilterStuff() {
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
    if (stuff.empty()) {
      continue;
    }
    const auto backgrounds = static_cast<int64_t>(vectors.backgrounds.size());
    const auto foregrounds = static_cast<int64_t>(
        options_.stuff_filter.foreground ? kept_.size() : 0);
    if (backgrounds + foregrounds == 0) {
      continue;
    }
    const double threshold = options_.stuff_filter.threshold;
    OVDIFF_RETURN_IF_ERROR(
        OnDevice(backgrounds + foregrounds, [&](int64_t task) {
          if (task < backgrounds) {
            torch::Tensor& background = vectors.backgrounds[task];
            background = WithoutSimilar(background, stuff, threshold,
                                        &vectors.background_rows[task]);
            return absl::OkStatus();
          }
          const int64_t i = task - backgrounds;
          if (classes_[kept_[i]].kind == ClassKind::kStuff) {
            return absl::OkStatus();
          }
          torch::Tensor rows = vectors.foreground_rows[i];
          const torch::Tensor left =
              WithoutSimilar(vectors.foregrounds[i], stuff, threshold, &rows);
          if (left.size(0) > 0) {
            vectors.foregrounds[i] = left;
            vectors.foreground_rows[i] = rows;
          }
          return absl::OkStatus();
        }));
  }
  timings_.matching += absl::Now() - start;
  return absl::OkStatus();
}

absl::Status PictureScores::OnDevice(
    int64_t count, absl::FunctionRef<absl::Status(int64_t)> task) {
  absl::Duration queued;
  OVDIFF_RETURN_IF_ERROR(parts_.scheduler.Run(
      [&] { return parts_.device.ForEach(count, task); }, control_, &queued));
  timings_.queue += queued;
  return absl::OkStatus();
}

absl::Status PictureScores::Match() {
  std::vector<WindowTask*> tasks;
  for (WindowTask& task : tasks_) {
    tasks.push_back(&task);
  }
  return RunTasks(tasks);
}

absl::Status PictureScores::MatchAgain() {
  std::vector<WindowTask*> tasks;
  for (WindowTask& task : tasks_) {
    if (!task.probe.empty()) {
      tasks.push_back(&task);
    }
  }
  return RunTasks(tasks);
}

absl::Status PictureScores::RunTasks(absl::Span<WindowTask* const> tasks) {
  const absl::Time start = absl::Now();
  absl::Duration queued;
  OVDIFF_RETURN_IF_ERROR(parts_.scheduler.RunBatched(
      WindowMatcher::Group(tasks), control_, &queued));
  timings_.queue += queued;
  timings_.features += absl::Now() - start;
  for (const WindowTask* task : tasks) {
    timings_.matching += task->match_time;
  }
  return absl::OkStatus();
}

void PictureScores::Probe(absl::Span<const PixelWeight> place) {
  std::vector<double> times_seen(place.size());
  for (const Window& window : windows_) {
    for (size_t i = 0; i < place.size(); ++i) {
      times_seen[i] += Sees(window, place[i]) ? window.weight : 0;
    }
  }
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const Window& window = windows_[i / vectors_.size()];
    tasks_[i].probe.clear();
    for (size_t pixel = 0; pixel < place.size(); ++pixel) {
      if (Sees(window, place[pixel])) {
        tasks_[i].probe.push_back(
            {place[pixel].x - window.x, place[pixel].y - window.y,
             place[pixel].weight * window.weight / times_seen[pixel]});
      }
    }
  }
}

std::vector<ProbeResult> PictureScores::Probed() const {
  std::vector<ProbeResult> sums(vectors_.size());
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (!tasks_[i].probe.empty()) {
      Add(tasks_[i].probed, &sums[i % vectors_.size()]);
    }
  }
  return sums;
}

absl::Status PictureScores::VisitBackground(Visit visit) {
  if (!options_.use_background) {
    const std::vector<float> flat(
        static_cast<size_t>(picture_size_.width) * picture_size_.height,
        static_cast<float>(options_.background_threshold));
    visit(flat);
    return absl::OkStatus();
  }
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor background, Merge(0, 0));
  if (background.defined()) {
    visit(SpanOf(background));
  }
  return absl::OkStatus();
}

absl::Status PictureScores::VisitClasses(size_t first, size_t count,
                                         VisitClass visit) {
  const int64_t map_bytes =
      int64_t{4} * picture_size_.width * picture_size_.height;
  const auto step =
      static_cast<size_t>(std::max<int64_t>(1, kMergeBytes / map_bytes));
  const size_t end = first + count;
  for (; first < end; first += step) {
    OVDIFF_ASSIGN_OR_RETURN(
        const torch::Tensor maps,
        Merge(static_cast<int64_t>(first),
              static_cast<int64_t>(std::min(step, end - first))));
    for (int64_t row = 0; row < maps.size(0); ++row) {
      visit(first + static_cast<size_t>(row), SpanOf(maps[row]));
    }
  }
  return absl::OkStatus();
}

// What PAMR needs to know of the picture.
absl::Status PictureScores::ComputeAffinity(const Image& picture) {
  const int64_t bytes = PamrAffinity::SizeBytes(picture.height, picture.width,
                                                options_.pamr.dilations.size());
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
        ToTensor(picture).squeeze(0).mul_(255).to(parts_.device.device()),
        options_.pamr.dilations);
    return absl::OkStatus();
  });
}

absl::StatusOr<torch::Tensor> PictureScores::Merge(int64_t first,
                                                   int64_t count) {
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

absl::StatusOr<torch::Tensor> PictureScores::Refine(const torch::Tensor& maps) {
  torch::Tensor refined = torch::empty_like(maps);
  for (int64_t first = 0; first < maps.size(0); first += kRefinedAtOnce) {
    const int64_t count = std::min(kRefinedAtOnce, maps.size(0) - first);
    OVDIFF_RETURN_IF_ERROR(OnDevice(count, [&](int64_t i) {
      const torch::Tensor map = maps.narrow(0, first + i, 1);
      refined.narrow(0, first + i, 1)
          .copy_(affinity_->Refine(map.to(parts_.device.device()),
                                   options_.pamr.iterations));
      return absl::OkStatus();
    }));
  }
  return refined;
}

torch::Tensor PictureScores::MergeOnDevice(int64_t first, int64_t count) const {
  WindowMerger merger(std::max<int64_t>(count, 1), picture_size_,
                      parts_.device.device());
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

}  // namespace ovdiff::engine
