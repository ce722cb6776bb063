// SupportSetPainter: a class prompt to N pictures with attribution maps
// (OVDiff section 3.1; method.md sections 1 and 2).
#ifndef OVDIFF_ENGINE_PIPELINE_SUPPORT_SET_PAINTER_H_
#define OVDIFF_ENGINE_PIPELINE_SUPPORT_SET_PAINTER_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/base/method_options.h"
#include "engine/base/support_set.h"
#include "engine/batching/device_scheduler.h"
#include "engine/engine.h"
#include "engine/runners/stable_diffusion_runner.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Thread-safe: calls block their caller; device work is done in bulk quanta of
// one denoising step of one batch each.
class SupportSetPainter {
 public:
  // All must outlive this. `picture_size`: side of a picture, pixels.
  SupportSetPainter(const StableDiffusionRunner& runner, ComputeDevice& device,
                    DeviceScheduler& scheduler, int picture_size)
      : runner_(runner),
        device_(device),
        scheduler_(scheduler),
        picture_size_(picture_size) {}

  // As Engine::ValidatePrompt().
  absl::Status ValidatePrompt(const std::string& prompt,
                              const GenerationOptions& options) const;

  // As Engine::PaintSupportSet(). Picture i starts from the i-th draw of one
  // generator seeded with options.seed, so batch_size changes nothing.
  absl::StatusOr<SupportSet> Paint(const std::string& prompt,
                                   const GenerationOptions& options,
                                   const CallControl& control,
                                   const ProgressCallback& progress);

  // UNet calls on batches so far.
  int64_t steps_done() const { return steps_done_; }

 private:
  class Job;

  const StableDiffusionRunner& runner_;
  ComputeDevice& device_;
  DeviceScheduler& scheduler_;
  const int picture_size_;
  std::atomic<int64_t> steps_done_{0};
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUPPORT_SET_PAINTER_H_
