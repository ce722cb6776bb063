// The machinery of DeviceScheduler. Internal.
#ifndef OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_IMPL_H_
#define OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_IMPL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "engine/base/mutex.h"
#include "engine/batching/device_scheduler.h"
#include "engine/batching/fair_queue.h"

namespace ovdiff::engine {

class DeviceScheduler::Impl {
 public:
  explicit Impl(DeviceSchedulerOptions options);
  ~Impl();

  absl::Status RegisterBatchFunction(const std::string& name,
                                     BatchFunction function, int max_batch)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status RunBatched(absl::Span<const BatchGroup> groups,
                          const CallControl& control, absl::Duration* queued)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Run(absl::FunctionRef<absl::Status()> work,
                   const CallControl& control, absl::Duration* queued)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status RunBulk(absl::FunctionRef<absl::Status()> quantum,
                       const CallControl& control, absl::Duration* queued)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OpenScope() ABSL_LOCKS_EXCLUDED(mutex_);
  void CloseScope() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_, join_mutex_);
  SchedulerStats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A cancellation token cannot wake anybody, so a waiting caller looks at it
  // this often. A test's clock cannot either.
  static constexpr absl::Duration kPollInterval = absl::Milliseconds(10);

  // A group with its kind looked up.
  struct Request {
    const BatchKind* kind;
    const std::string* shape;
    absl::Span<BatchTask* const> tasks;
  };
  // One thing that the device thread runs.
  struct Quantum {
    int64_t id = 0;
    bool bulk = false;
    Batch batch = {};
  };

  absl::StatusOr<std::vector<Request>> Resolve(
      absl::Span<const BatchGroup> groups) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // OK if `num_tasks` more may wait.
  absl::Status Admit(int64_t num_tasks, int64_t num_waiting, int limit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Submit(absl::Span<const Request> requests, PendingCall& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Blocks until nothing of `call` waits or runs; takes it out of the queue
  // when its control says so.
  absl::Status Await(PendingCall& call, absl::Duration* queued)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ControlStatus(const PendingCall& call) const;
  // Takes the waiting tasks of `call` out of the queue with `status`, which is
  // the call's failure if it has none yet.
  void Drop(PendingCall& call, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool OnDeviceThread() const;
  void DeviceThread() ABSL_LOCKS_EXCLUDED(mutex_);
  // Blocks until there is something to run; nullopt when stopping.
  std::optional<Quantum> NextQuantum() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<Quantum> TryNextQuantum(absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When the bulk lane may overtake waiting interactive work.
  absl::Time BulkDueAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Quantum TakeBulk() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Quantum Start(Quantum quantum, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Finish(const Quantum& quantum, const absl::Status& status,
              absl::Duration elapsed) ABSL_LOCKS_EXCLUDED(mutex_);
  void CountQuantum(const Quantum& quantum, absl::Duration elapsed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const DeviceSchedulerOptions options_;
  const bool has_test_clock_;
  const BatchKind single_kind_;
  const BatchKind bulk_kind_;

  mutable Mutex mutex_;
  CondVar work_changed_;  // Wakes the device thread.
  CondVar last_caller_left_;
  std::map<std::string, std::unique_ptr<const BatchKind>> kinds_
      ABSL_GUARDED_BY(mutex_);
  FairQueue interactive_ ABSL_GUARDED_BY(mutex_);
  std::deque<QueuedTask> bulk_ ABSL_GUARDED_BY(mutex_);
  // Calls with tasks in a queue.
  absl::flat_hash_set<PendingCall*> waiting_ ABSL_GUARDED_BY(mutex_);
  int num_callers_ ABSL_GUARDED_BY(mutex_) = 0;
  int open_scopes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool last_was_bulk_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time last_bulk_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t next_quantum_id_ ABSL_GUARDED_BY(mutex_) = 0;
  SchedulerStats stats_ ABSL_GUARDED_BY(mutex_);

  Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);  // Last: uses the rest.
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BATCHING_DEVICE_SCHEDULER_IMPL_H_
