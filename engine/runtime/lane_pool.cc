#include "engine/runtime/lane_pool.h"

#include <limits>
#include <utility>

#include "ATen/Parallel.h"
#include "engine/runtime/torch_status.h"

namespace ovdiff::engine {

struct LanePool::Round {
  Round(absl::FunctionRef<absl::Status(int64_t)> task, int64_t count)
      : task(task), count(count) {}

  absl::FunctionRef<absl::Status(int64_t)> task;
  const int64_t count;
  int64_t next = 0;  // First index that no lane has taken.
  int running = 1;   // Lanes at work; the caller from the start.
  int64_t failed_index = std::numeric_limits<int64_t>::max();
  absl::Status status;  // Of failed_index.
};

namespace {

// OpenMP's and MKL's thread counts belong to the calling thread.
void UseOneTorchThread() {
  thread_local bool done = false;
  if (!done || at::get_num_threads() != 1) {
    at::set_num_threads(1);
    done = true;
  }
}

}  // namespace

LanePool::LanePool(int num_lanes) {
  for (int i = 1; i < num_lanes; ++i) {
    threads_.emplace_back([this] { ThreadLoop(); });
  }
}

LanePool::~LanePool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

bool LanePool::HasWork() const {
  return stopping_ || (round_ != nullptr && round_->next < round_->count);
}

void LanePool::ThreadLoop() {
  UseOneTorchThread();
  while (true) {
    Round* round = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &LanePool::HasWork));
      if (stopping_) {
        return;
      }
      round = round_;
      ++round->running;
    }
    Work(round);
  }
}

// Takes indices until none is left. The lane is counted in `running`.
void LanePool::Work(Round* round) {
  absl::MutexLock lock(&mutex_);
  while (round->next < round->count) {
    const int64_t index = round->next++;
    mutex_.Unlock();
    absl::Status status =
        CallTorch("a sample", [&] { return round->task(index); });
    mutex_.Lock();
    if (!status.ok() && index < round->failed_index) {
      round->failed_index = index;
      round->status = std::move(status);
      round->next = round->count;
    }
  }
  --round->running;
}

absl::Status LanePool::Run(int64_t count,
                           absl::FunctionRef<absl::Status(int64_t)> task) {
  UseOneTorchThread();
  Round round(task, count);
  {
    absl::MutexLock lock(&mutex_);
    round_ = &round;
  }
  Work(&round);
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](Round* r) { return r->running == 0; }, &round));
  round_ = nullptr;
  return round.status;
}

}  // namespace ovdiff::engine
