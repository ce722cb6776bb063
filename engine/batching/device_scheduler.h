// DeviceScheduler: the one thread that runs networks on a device, and the
// bounded queue in front of it. Torch-free.
#ifndef OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_H_
#define OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/batching/batch_task.h"
#include "engine/batching/scheduler_stats.h"

namespace ovdiff::engine {

struct DeviceSchedulerOptions {
  // Tasks that share one call of a batch function; >= 1. A function may have a
  // smaller limit of its own.
  int max_batch = 8;
  // Interactive tasks waiting, all calls together; >= 1.
  int max_queued = 4096;
  // Bulk quanta waiting; >= 1. Each caller has at most one.
  int max_queued_bulk = 256;
  // How long an unfinished batch may wait for company while it could run. 0:
  // not at all. >= 0
  absl::Duration max_batch_delay = absl::ZeroDuration();
  // Bulk work that has waited this long runs one quantum before more
  // interactive work. >= 0
  absl::Duration max_bulk_wait = absl::Seconds(2);
  // Runs first on the device thread: number of threads, inference mode, ….
  std::function<void()> on_thread_start = nullptr;
  // The time that deadlines and delays are compared with. For tests.
  std::function<absl::Time()> clock = nullptr;  // null: absl::Now
};

// EXAMPLE
//   auto scheduler = *DeviceScheduler::Create({.max_batch = 8});
//   scheduler->RegisterBatchFunction("dino", run_dino_windows);
//   // On a request's thread; `windows` is a vector of WindowTask:
//   BatchGroup group{.function = "dino", .shape = "448x448"};
//   for (WindowTask& task : windows) group.tasks.push_back(&task);
//   OVDIFF_RETURN_IF_ERROR(scheduler->RunBatched({group}, control));
//   // windows[i].features are set.
//
// BEHAVIOUR
// - RunBatched(), Run() and RunBulk() block the calling thread until all of
// their
//   work has run or never will; nothing of a call is touched after it returned,
//   so arguments may live on its stack and lambdas may capture by reference.
// - Interactive lane: RunBatched() and Run(). Queues of equal (function, shape)
//   take turns, Run() calls being one queue more; within a queue the calls take
//   turns task by task, so that one with 300 windows cannot hold up one with 1.
//   The device never idles while a batch may run.
// - Bulk lane: RunBulk(), first come first served, one quantum at a time, when
//   nothing interactive waits and no InteractiveScope is open, or once it has
//   waited max_bulk_wait. Keep a quantum short (one denoising step): a running
//   one is never interrupted.
// - A call whose deadline passes or that is cancelled while it waits is taken
// out
//   of the queue at once and not run; what is running finishes first.
// - Admission is all or nothing: a call that does not fit into the queue now is
//   refused at once with kUnavailable, one that never fits with
//   kInvalidArgument.
//
// Thread-safe. No lock is held while work runs. Work must not call back into
// RunBatched(), Run() or RunBulk() (refused with kInternal: it would wait for
// itself). An exception out of work becomes kInternal; wrap torch code to get a
// better status.
class DeviceScheduler {
 public:
  // Starts the device thread. kInvalidArgument for options out of range.
  static absl::StatusOr<std::unique_ptr<DeviceScheduler>> Create(
      DeviceSchedulerOptions options);
  // Stop(), then waits for blocked callers to leave. No new call may begin.
  ~DeviceScheduler();
  DeviceScheduler(const DeviceScheduler&) = delete;
  DeviceScheduler& operator=(const DeviceScheduler&) = delete;

  // Names a batch function. `max_batch`: its own limit, 0 for the options'.
  // Register all before the first call that uses them; kAlreadyExists for a
  // second one of that name.
  absl::Status RegisterBatchFunction(const std::string& name,
                                     BatchFunction function, int max_batch = 0);

  // Runs all tasks of all groups, sharing batches with other calls. Sets each
  // task's status. Returns OK if all are, else the first failure: tasks of this
  // call that still waited then are dropped (kCancelled), other calls go on.
  // Also
  //   kUnavailable        queue full, or stopped
  //   kInvalidArgument    more tasks than max_queued, or an unknown function
  //   kDeadlineExceeded, kCancelled  by `control` before all tasks had started
  // `queued`, if not null, gets the time this call spent with none of its tasks
  // running.
  absl::Status RunBatched(absl::Span<const BatchGroup> groups,
                          const CallControl& control,
                          absl::Duration* queued = nullptr);

  // Runs `work` on the device thread in the interactive lane, as one task.
  // Returns its status, or one of the above.
  absl::Status Run(absl::FunctionRef<absl::Status()> work,
                   const CallControl& control,
                   absl::Duration* queued = nullptr);

  // Runs `quantum` on the device thread in the bulk lane. As Run(). Loop over
  // it: one call per denoising step, per K-means step, per picture to encode.
  absl::Status RunBulk(absl::FunctionRef<absl::Status()> quantum,
                       const CallControl& control,
                       absl::Duration* queued = nullptr);

  // While one is alive, bulk work holds back (up to max_bulk_wait) although the
  // device may be idle: open one per Segment call around all of its device
  // work, so that no denoising step slips in between its stages and it waits
  // for at most one. Must not outlive the scheduler.
  class InteractiveScope {
   public:
    explicit InteractiveScope(DeviceScheduler& scheduler);
    ~InteractiveScope();
    InteractiveScope(const InteractiveScope&) = delete;
    InteractiveScope& operator=(const InteractiveScope&) = delete;

   private:
    DeviceScheduler& scheduler_;
  };

  // Refuses new calls and fails waiting ones with kUnavailable; returns when
  // the running work, if any, has finished. Idempotent.
  void Stop();

  SchedulerStats stats() const;

 private:
  class Impl;
  explicit DeviceScheduler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_H_
