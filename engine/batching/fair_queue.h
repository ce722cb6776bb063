// FairQueue: the interactive tasks that wait, and whose turn it is. Internal to
// DeviceScheduler.
#ifndef OVDIFF_ENGINE_BATCHING_FAIR_QUEUE_H_
#define OVDIFF_ENGINE_BATCHING_FAIR_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "engine/batching/batch_task.h"

namespace ovdiff::engine {

// A call of RunBatched(), Run() or RunBulk() from submission to return. Lives
// on the caller's stack; guarded by the scheduler's mutex.
struct PendingCall {
  CallControl control;
  absl::Time submitted;
  int waiting = 0;            // Tasks in a queue.
  int running = 0;            // Tasks in the work that runs now.
  absl::Status failure;       // The first one.
  int64_t last_quantum = -1;  // Id of the last work it took part in, and…
  absl::Duration ran;         // …how long all such work took.
  CondVar changed;
};

struct BatchKind {
  std::string name;
  BatchFunction function;
  int max_batch = 1;
  bool single = false;  // Run(): counted apart.
};

struct QueuedTask {
  PendingCall* call = nullptr;
  BatchTask* task = nullptr;
};

struct Batch {
  const BatchKind* kind = nullptr;
  std::vector<QueuedTask> tasks;
};

// Not locked; the scheduler's mutex guards it. Kinds and calls are borrowed.
class FairQueue {
 public:
  size_t size() const { return size_; }

  void Add(const BatchKind* kind, const std::string& shape, QueuedTask task);

  // Takes out and returns all tasks of `call`.
  std::vector<BatchTask*> Remove(const PendingCall* call);

  // The next batch of the first queue in turn that is full or whose oldest task
  // waits since `now - delay` or longer. Empty `kind` if there is none.
  Batch Take(absl::Time now, absl::Duration delay);

  // When Take() will have something if nothing is added. InfiniteFuture if
  // empty.
  absl::Time NextReady(absl::Duration delay) const;

 private:
  // Round robin: the front call gives one task and goes to the back.
  struct CallTasks {
    PendingCall* call;
    std::deque<BatchTask*> tasks;
  };
  struct Lane {
    const BatchKind* kind;
    std::string shape;
    std::list<CallTasks> calls;
    size_t size = 0;
  };

  static absl::Time ReadyAt(const Lane& lane, absl::Duration delay);

  // In turn order; none is empty. Few: one per kind and shape in use now.
  std::list<Lane> lanes_;
  size_t size_ = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BATCHING_FAIR_QUEUE_H_
