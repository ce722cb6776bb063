// BatchTask: one piece of work that can share a device call with others.
#ifndef OVDIFF_ENGINE_BATCHING_BATCH_TASK_H_
#define OVDIFF_ENGINE_BATCHING_BATCH_TASK_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace ovdiff::engine {

// Derive and add inputs and outputs:
//   struct WindowTask : BatchTask { at::Tensor picture, features; };
// Owned by the caller; used by the device thread between submission and the
// return of DeviceScheduler::RunBatched().
class BatchTask {
 public:
  virtual ~BatchTask() = default;
  // Set by the batch function for a task that fails alone. Not OK otherwise if
  // the whole batch failed or the task never ran.
  absl::Status status;
};

// Runs tasks of one key in one call, on the device thread; knows their type.
// A non-OK return is the status of each task of the batch; with OK each task's
// own `status` stands. Results must not depend on which tasks share the call.
using BatchFunction =
    std::function<absl::Status(absl::Span<BatchTask* const> tasks)>;

// Tasks of one call that may share batches with each other and with those of
// other calls whose function and shape are equal.
struct BatchGroup {
  std::string function = {};  // A name given to RegisterBatchFunction().
  std::string shape = {};     // All that must agree within a batch: "448x448".
  std::vector<BatchTask*> tasks = {};
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BATCHING_BATCH_TASK_H_
