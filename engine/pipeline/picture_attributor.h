// PictureAttributor: where in given pictures the diffusion model sees a class.
// Painting watches attention while a picture comes about (method.md section 2);
// a picture that is there already is noised part of the way, and the model's
// attention watched while it looks at that.
#ifndef OVDIFF_ENGINE_PIPELINE_PICTURE_ATTRIBUTOR_H_
#define OVDIFF_ENGINE_PIPELINE_PICTURE_ATTRIBUTOR_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/base/support_set.h"
#include "engine/batching/device_scheduler.h"
#include "engine/runners/stable_diffusion_runner.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Thread-safe: calls block their caller; device work is done in bulk quanta of
// one network call for options.batch_size pictures each.
class PictureAttributor {
 public:
  // All must outlive this. `picture_size`: side of a painted picture, pixels.
  PictureAttributor(const StableDiffusionRunner& runner, ComputeDevice& device,
                    DeviceScheduler& scheduler, int picture_size)
      : runner_(runner),
        device_(device),
        scheduler_(scheduler),
        picture_size_(picture_size) {}

  // As Engine::AttributePictures(). A picture is squashed to picture_size,
  // encoded to the mean of the VAE's posterior, and noised to 0.2, 0.4 and 0.6
  // of the training timesteps; the maps of one conditional pass at each are
  // averaged as painting averages those of its steps. One generator seeded with
  // options.seed draws the noise of the three, the same for every picture: so a
  // picture's map does not depend on the others or on their order. Of
  // `options`, prompt_template, seed and batch_size are looked at; the last
  // changes nothing.
  absl::StatusOr<std::vector<AttributionMap>> Attribute(
      const std::string& prompt, absl::Span<const Image> pictures,
      const GenerationOptions& options, const CallControl& control);

 private:
  class Job;

  const StableDiffusionRunner& runner_;
  ComputeDevice& device_;
  DeviceScheduler& scheduler_;
  const int picture_size_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PICTURE_ATTRIBUTOR_H_
