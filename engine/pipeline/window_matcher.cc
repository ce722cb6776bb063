#include "engine/pipeline/window_matcher.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/ops/matching.h"
#include "engine/runners/picture_tensor.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

std::string FunctionName(const FeatureExtractor& space) {
  return absl::StrCat("windows/", space.spec().name);
}

// All that a network call shares: the size of its inputs and their noise.
std::string ShapeOf(const WindowTask& task) {
  return absl::StrCat(task.input.width, "x", task.input.height, "/",
                      task.noise_seed);
}

std::vector<float> ToVector(const torch::Tensor& values) {
  const torch::Tensor flat = values.to(torch::kCPU).contiguous();
  const float* data = flat.data_ptr<float>();
  return {data, data + flat.numel()};
}

std::vector<std::vector<float>> ToVectors(
    const std::vector<torch::Tensor>& all) {
  std::vector<std::vector<float>> result;
  for (const torch::Tensor& values : all) {
    result.push_back(ToVector(values));
  }
  return result;
}

// `features`: [C, gh, gw]; after Match() of the task.
ProbeResult Probe(const torch::Tensor& features, const WindowTask& task) {
  const torch::Tensor weights =
      CellWeights(task.probe, task.size, features.size(1), features.size(2))
          .to(features.device());
  ProbeResult result;
  result.scores = ToVector((task.scores * weights).sum({1, 2}));
  if (task.background.has_value()) {
    result.background = (*task.background * weights).sum().item<float>();
  }
  result.foregrounds =
      ToVectors(WeightedCosines(features, weights, task.vectors->foregrounds));
  result.backgrounds =
      ToVectors(WeightedCosines(features, weights, task.vectors->backgrounds));
  return result;
}

// `features`: [C, gh, gw]
void Match(const torch::Tensor& features, WindowTask* task) {
  const absl::Time start = absl::Now();
  task->scores = MatchClasses(features, task->vectors->foregrounds);
  task->background = MatchBackground(features, task->vectors->backgrounds);
  if (!task->probe.empty()) {
    task->probed = Probe(features, *task);
  }
  task->match_time = absl::Now() - start;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WindowMatcher>> WindowMatcher::Create(
    const ModelSet& models, ComputeDevice& device, DeviceScheduler& scheduler) {
  std::unique_ptr<WindowMatcher> matcher(new WindowMatcher(device));
  for (const auto& space : models.spaces) {
    OVDIFF_RETURN_IF_ERROR(scheduler.RegisterBatchFunction(
        FunctionName(*space), [matcher = matcher.get(), space = space.get()](
                                  absl::Span<BatchTask* const> tasks) {
          return matcher->RunBatch(*space, tasks);
        }));
  }
  return matcher;
}

std::vector<BatchGroup> WindowMatcher::Group(
    absl::Span<WindowTask* const> tasks) {
  std::map<std::pair<std::string, std::string>, BatchGroup> groups;
  for (WindowTask* task : tasks) {
    const std::string function = FunctionName(*task->vectors->space);
    const std::string shape = ShapeOf(*task);
    BatchGroup& group = groups[{function, shape}];
    group.function = function;
    group.shape = shape;
    group.tasks.push_back(task);
  }
  std::vector<BatchGroup> result;
  for (auto& [key, group] : groups) {
    result.push_back(std::move(group));
  }
  return result;
}

absl::Status WindowMatcher::RunBatch(const FeatureExtractor& space,
                                     absl::Span<BatchTask* const> tasks) {
  ++batches_;
  windows_ += static_cast<int64_t>(tasks.size());
  const auto count = static_cast<int64_t>(tasks.size());
  const int64_t per_call = device_.samples_per_call(count);
  return device_.ForEach((count + per_call - 1) / per_call, [&](int64_t call) {
    std::vector<WindowTask*> windows;
    std::vector<torch::Tensor> images;
    for (int64_t i = call * per_call;
         i < std::min(count, (call + 1) * per_call); ++i) {
      windows.push_back(static_cast<WindowTask*>(tasks[i]));
      images.push_back(ToTensor(windows.back()->input));
    }
    const torch::Tensor features =
        space.Extract(torch::cat(images).to(device_.device()),
                      {.seed = windows.front()->noise_seed});
    for (size_t i = 0; i < windows.size(); ++i) {
      Match(features[static_cast<int64_t>(i)], windows[i]);
    }
    return absl::OkStatus();
  });
}

}  // namespace ovdiff::engine
