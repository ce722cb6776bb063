// WindowMatcher: windows of photos through the feature spaces, and their
// features against prototypes, batched over requests (method.md section 6,
// steps 2 to 4).
#ifndef OVDIFF_ENGINE_PIPELINE_WINDOW_MATCHER_H_
#define OVDIFF_ENGINE_PIPELINE_WINDOW_MATCHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/image.h"
#include "engine/batching/batch_task.h"
#include "engine/batching/device_scheduler.h"
#include "engine/ops/windows.h"
#include "engine/runners/feature_extractor.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"
#include "torch/types.h"

namespace ovdiff::engine {

// The vectors of one request's kept classes in one space, each [P, C] on the
// device, of length one; and each matrix's rows of PrototypeVectors, int64 [P]
// on the CPU.
struct SpaceVectors {
  const FeatureExtractor* space = nullptr;
  double weight = 1.0;  // Of its scores in the mean over spaces.
  std::vector<torch::Tensor> foregrounds;
  std::vector<torch::Tensor> foreground_rows;
  // Of those kept classes that have any; empty: the space abstains.
  std::vector<torch::Tensor> backgrounds;
  std::vector<torch::Tensor> background_rows;
  std::vector<size_t> background_owners;  // Indices of the call's classes.
};

// What one place of a window adds to the picture's: sums over the window's
// cells by the place's weights of them.
struct ProbeResult {
  std::vector<float> scores;  // [K]
  std::optional<float> background;
  // Of every single vector: for each of SpaceVectors' matrices [P].
  std::vector<std::vector<float>> foregrounds;
  std::vector<std::vector<float>> backgrounds;
};

// One window in one space. Features are matched as soon as they are there and
// then dropped: a window's are some 100 MB at Stable Diffusion's size, its
// scores a few KB a class.
struct WindowTask : BatchTask {
  Image input;  // At the network's size.
  uint64_t noise_seed = 0;
  const SpaceVectors* vectors = nullptr;
  // Pixels of the window, which is `size`, to look closer at; may be none.
  std::vector<PixelWeight> probe;
  ImageSize size;
  // Results, float32 on the device.
  torch::Tensor scores;                     // [K, gh, gw]
  std::optional<torch::Tensor> background;  // [gh, gw]
  ProbeResult probed;
  absl::Duration match_time;
};

// Thread-safe.
class WindowMatcher {
 public:
  // Registers one batch function a space. All must outlive this.
  static absl::StatusOr<std::unique_ptr<WindowMatcher>> Create(
      const ModelSet& models, ComputeDevice& device,
      DeviceScheduler& scheduler);

  // The group of a space's tasks; they may have inputs of several sizes, hence
  // several groups. `tasks` must outlive the run.
  static std::vector<BatchGroup> Group(absl::Span<WindowTask* const> tasks);

  int64_t batches() const { return batches_; }
  int64_t windows() const { return windows_; }

 private:
  explicit WindowMatcher(ComputeDevice& device) : device_(device) {}

  absl::Status RunBatch(const FeatureExtractor& space,
                        absl::Span<BatchTask* const> tasks);

  ComputeDevice& device_;
  std::atomic<int64_t> batches_{0};
  std::atomic<int64_t> windows_{0};
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_WINDOW_MATCHER_H_
