#include "server/executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {

Executor::Executor(Options options) : options_(std::move(options)) {
  for (int i = 0; i < options_.num_threads; ++i) {
    threads_.emplace_back([this] { RunWorker(); });
  }
  threads_.emplace_back([this] { RunReaper(); });
}

Executor::~Executor() { Stop(); }

absl::Status Executor::CheckRoom(const Task& task) const {
  if (stopping_) {
    return OverloadError("the server is shutting down", reasons::kDraining,
                         absl::Seconds(1));
  }
  if (task.is_bounded_elsewhere) {
    return absl::OkStatus();
  }
  const int64_t tasks = running_ + static_cast<int64_t>(queue_.size());
  if (tasks >= options_.max_tasks) {
    return OverloadError(
        absl::StrCat("the ", options_.name, " queue is full: ", tasks,
                     " run or wait, ", options_.max_tasks,
                     " are allowed; try again"),
        reasons::kQueueFull, RetryAfter());
  }
  // A single task is taken whatever it holds: message limits bound it.
  if (options_.max_bytes > 0 && tasks > 0 &&
      bytes_ + task.bytes > options_.max_bytes) {
    return OverloadError(
        absl::StrCat("the ", options_.name, " queue is full: it holds ", bytes_,
                     " bytes and ", options_.max_bytes,
                     " are allowed; try again"),
        reasons::kQueueFull, RetryAfter());
  }
  return absl::OkStatus();
}

absl::Duration Executor::RetryAfter() const {
  const absl::Duration estimate = mean_run_ *
                                  static_cast<int64_t>(queue_.size() + 1) /
                                  options_.num_threads;
  return std::clamp(estimate, absl::Milliseconds(50), absl::Seconds(10));
}

absl::StatusOr<Executor::Ticket> Executor::Submit(Task task) {
  MutexLock lock(&mutex_);
  absl::Status room = CheckRoom(task);
  if (!room.ok()) {
    return room;
  }
  const Ticket ticket = next_ticket_++;
  bytes_ += task.bytes;
  const bool is_earliest = task.deadline < NextDeadline();
  queue_.emplace(ticket, Entry{std::move(task), absl::Now()});
  work_.Signal();
  if (is_earliest) {
    reaper_.Signal();
  }
  return ticket;
}

bool Executor::Remove(Ticket ticket) {
  Entry removed;  // Destroyed outside the lock.
  MutexLock lock(&mutex_);
  const auto it = queue_.find(ticket);
  if (it == queue_.end()) {
    return false;
  }
  removed = std::move(it->second);
  bytes_ -= removed.task.bytes;
  queue_.erase(it);
  return true;
}

void Executor::RunWorker() {
  while (true) {
    Entry entry;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !stopping_) {
        work_.Wait(&mutex_);
      }
      if (queue_.empty()) {
        return;
      }
      entry = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      ++running_;
    }
    const absl::Time start = absl::Now();
    if (options_.on_start) {
      options_.on_start(start - entry.submit_time);
    }
    entry.task.run();
    const int64_t bytes = entry.task.bytes;
    entry = Entry();  // What it captured is freed before its room is.
    MutexLock lock(&mutex_);
    --running_;
    bytes_ -= bytes;
    mean_run_ += (absl::Now() - start - mean_run_) / 8;
  }
}

absl::Time Executor::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [ticket, entry] : queue_) {
    next = std::min(next, entry.task.deadline);
  }
  return next;
}

void Executor::CollectExpired(std::vector<Entry>& expired) {
  const absl::Time now = absl::Now();
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->second.task.deadline > now) {
      ++it;
      continue;
    }
    bytes_ -= it->second.task.bytes;
    expired.push_back(std::move(it->second));
    it = queue_.erase(it);
  }
}

void Executor::RunReaper() {
  while (true) {
    std::vector<Entry> expired;
    {
      MutexLock lock(&mutex_);
      if (stopping_) {
        return;
      }
      CollectExpired(expired);
      if (expired.empty()) {
        reaper_.WaitUntil(&mutex_, NextDeadline());
      }
    }
    for (Entry& entry : expired) {
      entry.task.drop(absl::DeadlineExceededError(
          absl::StrCat("the deadline passed after ",
                       absl::FormatDuration(absl::Now() - entry.submit_time),
                       " in the ", options_.name, " queue")));
    }
  }
}

void Executor::Stop() {
  Queue dropped;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    for (const auto& [ticket, entry] : dropped) {
      bytes_ -= entry.task.bytes;
    }
    work_.SignalAll();
    reaper_.SignalAll();
  }
  for (auto& [ticket, entry] : dropped) {
    entry.task.drop(OverloadError("the server is shutting down",
                                  reasons::kDraining, absl::Seconds(1)));
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.join();
    }
  }
}

int64_t Executor::num_waiting() const {
  MutexLock lock(&mutex_);
  return static_cast<int64_t>(queue_.size());
}

int64_t Executor::num_running() const {
  MutexLock lock(&mutex_);
  return running_;
}

}  // namespace ovdiff::server
