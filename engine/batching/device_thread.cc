// The device thread's side of DeviceScheduler: what runs next, and its end.
#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/batching/device_scheduler_impl.h"

namespace ovdiff::engine {
namespace {

// The scheduler whose device thread this is.
thread_local const void* device_thread_of = nullptr;

// The last stop of an exception that work let out.
absl::Status CallWork(const Batch& batch) {
  std::vector<BatchTask*> tasks;
  tasks.reserve(batch.tasks.size());
  for (const QueuedTask& queued : batch.tasks) {
    tasks.push_back(queued.task);
  }
  try {
    return batch.kind->function(tasks);
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("exception from device work '",
                                            batch.kind->name, "': ", e.what()));
  } catch (...) {
    return absl::InternalError(absl::StrCat(
        "exception of unknown type from device work '", batch.kind->name, "'"));
  }
}

}  // namespace

bool DeviceScheduler::Impl::OnDeviceThread() const {
  return device_thread_of == this;
}

void DeviceScheduler::Impl::DeviceThread() {
  device_thread_of = this;
  if (options_.on_thread_start) {
    options_.on_thread_start();
  }
  while (std::optional<Quantum> quantum = NextQuantum()) {
    const absl::Time start = options_.clock();
    const absl::Status status = CallWork(quantum->batch);
    Finish(*quantum, status, options_.clock() - start);
  }
}

std::optional<DeviceScheduler::Impl::Quantum>
DeviceScheduler::Impl::NextQuantum() {
  MutexLock lock(&mutex_);
  while (!stopping_) {
    DropExpired();
    const absl::Time now = options_.clock();
    if (std::optional<Quantum> quantum = TryNextQuantum(now)) {
      return quantum;
    }
    absl::Duration wait =
        std::min(interactive_.NextReady(options_.max_batch_delay),
                 BulkDueAt()) -
        now;
    if (has_test_clock_) {
      wait = std::min(wait, kPollInterval);
    }
    work_changed_.WaitFor(&mutex_, wait);
  }
  return std::nullopt;
}

std::optional<DeviceScheduler::Impl::Quantum>
DeviceScheduler::Impl::TryNextQuantum(absl::Time now) {
  const bool bulk_alone =
      !bulk_.empty() && interactive_.size() == 0 && open_scopes_ == 0;
  if (bulk_alone || (BulkDueAt() <= now && !last_was_bulk_)) {
    return Start(TakeBulk(), now);
  }
  Batch batch = interactive_.Take(now, options_.max_batch_delay);
  if (batch.kind != nullptr) {
    return Start({.batch = std::move(batch)}, now);
  }
  if (BulkDueAt() <= now) {
    return Start(TakeBulk(), now);
  }
  return std::nullopt;
}

absl::Time DeviceScheduler::Impl::BulkDueAt() const {
  if (bulk_.empty()) {
    return absl::InfiniteFuture();
  }
  // One quantum per max_bulk_wait, however many callers wait that long.
  return std::max(bulk_.front().call->submitted, last_bulk_) +
         options_.max_bulk_wait;
}

DeviceScheduler::Impl::Quantum DeviceScheduler::Impl::TakeBulk() {
  Quantum quantum{.bulk = true};
  quantum.batch = {.kind = &bulk_kind_, .tasks = {bulk_.front()}};
  bulk_.pop_front();
  return quantum;
}

DeviceScheduler::Impl::Quantum DeviceScheduler::Impl::Start(Quantum quantum,
                                                            absl::Time now) {
  quantum.id = next_quantum_id_++;
  WaitHistogram& waits =
      quantum.bulk ? stats_.bulk_wait : stats_.interactive_wait;
  for (const QueuedTask& queued : quantum.batch.tasks) {
    PendingCall& call = *queued.call;
    waits.Add(now - call.submitted);
    --call.waiting;
    ++call.running;
    if (call.waiting == 0) {
      waiting_.erase(&call);
    }
  }
  last_was_bulk_ = quantum.bulk;
  return quantum;
}

void DeviceScheduler::Impl::Finish(const Quantum& quantum,
                                   const absl::Status& status,
                                   absl::Duration elapsed) {
  MutexLock lock(&mutex_);
  CountQuantum(quantum, elapsed);
  if (quantum.bulk) {
    last_bulk_ = options_.clock();
  }
  for (const QueuedTask& queued : quantum.batch.tasks) {
    PendingCall& call = *queued.call;
    if (!status.ok()) {
      queued.task->status = status;
    }
    if (call.last_quantum != quantum.id) {
      call.last_quantum = quantum.id;
      call.ran += elapsed;
    }
    --call.running;
    if (!queued.task->status.ok() && call.failure.ok()) {
      call.failure = queued.task->status;
      Drop(call,
           absl::CancelledError("not run: another task of its call failed"));
    }
    if (call.running == 0) {
      call.changed.Signal();
    }
  }
}

void DeviceScheduler::Impl::CountQuantum(const Quantum& quantum,
                                         absl::Duration elapsed) {
  stats_.busy_seconds += absl::ToDoubleSeconds(elapsed);
  if (quantum.bulk) {
    ++stats_.bulk_quanta;
  } else if (quantum.batch.kind->single) {
    ++stats_.single_tasks;
  } else {
    ++stats_.batches;
    stats_.batched_tasks += static_cast<int64_t>(quantum.batch.tasks.size());
  }
}

}  // namespace ovdiff::engine
