// PrototypeBuilder: a support set to the prototype set of its class (OVDiff
// section 3.2; method.md section 5).
#ifndef OVDIFF_ENGINE_PIPELINE_PROTOTYPE_BUILDER_H_
#define OVDIFF_ENGINE_PIPELINE_PROTOTYPE_BUILDER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/method_options.h"
#include "engine/base/prototype_set.h"
#include "engine/base/support_set.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Thread-safe: calls block their caller; device work is done in bulk quanta of
// one space of one batch of pictures, or one pass of K-means, each.
class PrototypeBuilder {
 public:
  // All must outlive this. `batch_size`: pictures per quantum, >= 1.
  PrototypeBuilder(const Bundle& bundle, const ModelSet& models,
                   ComputeDevice& device, DeviceScheduler& scheduler,
                   int batch_size)
      : bundle_(bundle),
        models_(models),
        device_(device),
        scheduler_(scheduler),
        batch_size_(batch_size) {}

  // As Engine::BuildPrototypeSet(). Vectors of a side stand in this order:
  // class mean, instances by picture, parts. K' = min(K, distinct cells).
  absl::StatusOr<PrototypeSet> Build(const SupportSet& support,
                                     const PrototypeOptions& options,
                                     const CallControl& control,
                                     const ProgressCallback& progress);

  // As Engine::MakePictureMasks().
  absl::StatusOr<std::vector<PictureMasks>> MakePictureMasks(
      const SupportSet& support, absl::Span<const int> wanted,
      const PrototypeOptions& options, const CallControl& control);

 private:
  class Job;

  const Bundle& bundle_;
  const ModelSet& models_;
  ComputeDevice& device_;
  DeviceScheduler& scheduler_;
  const int batch_size_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PROTOTYPE_BUILDER_H_
