// Executor: worker threads with a bounded queue, so that no gRPC thread ever
// blocks and no load can pile up.
#ifndef OVDIFF_SERVER_EXECUTOR_H_
#define OVDIFF_SERVER_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace ovdiff::server {

// Thread-safe. Tasks start in the order of Submit().
class Executor {
 public:
  struct Options {
    std::string name;        // In messages and metrics.
    int num_threads = 1;     // >= 1
    int64_t max_tasks = 64;  // Running and waiting, together.
    int64_t max_bytes = 0;   // Sum of Task::bytes of those; 0: no bound.
    // Called for each task that starts, with the time it waited. May be null.
    std::function<void(absl::Duration)> on_start;
  };

  struct Task {
    // Exactly one of the two is called, once, unless Remove() returns true:
    // `run` on a worker, or `drop` on any thread with kDeadlineExceeded when
    // `deadline` passes in the queue, or kUnavailable when the executor stops.
    std::function<void()> run;
    std::function<void(absl::Status)> drop;
    absl::Time deadline = absl::InfiniteFuture();
    int64_t bytes = 0;  // Memory it holds.
    // Taken beyond max_tasks and max_bytes: for callers that bound themselves.
    bool is_bounded_elsewhere = false;
  };

  using Ticket = uint64_t;

  explicit Executor(Options options);
  ~Executor();  // As Stop().

  // kUnavailable with a RetryInfo when full or stopped; then the task is gone
  // and neither of its functions is called.
  absl::StatusOr<Ticket> Submit(Task task);

  // Takes a waiting task out of the queue; false if it has left it already.
  bool Remove(Ticket ticket);

  // Drops what waits, lets what runs finish, joins the threads. Idempotent.
  void Stop();

  int64_t num_waiting() const;
  int64_t num_running() const;

 private:
  struct Entry {
    Task task;
    absl::Time submit_time;
  };
  using Queue = std::map<Ticket, Entry>;

  void RunWorker();
  void RunReaper();
  // Moves expired entries out of the queue, into `expired`.
  void CollectExpired(std::vector<Entry>& expired)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time NextDeadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckRoom(const Task& task) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryAfter() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar work_;    // Something to run, or the end.
  CondVar reaper_;  // An earlier deadline, or the end.
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  Ticket next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Exponential mean of run times, for RetryInfo.
  absl::Duration mean_run_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_EXECUTOR_H_
