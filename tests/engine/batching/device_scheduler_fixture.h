// What the tests of the device scheduler share: a clock and a device that the
// test holds in its hand, calls that run beside it.
#ifndef OVDIFF_TESTS_ENGINE_BATCHING_DEVICE_SCHEDULER_FIXTURE_H_
#define OVDIFF_TESTS_ENGINE_BATCHING_DEVICE_SCHEDULER_FIXTURE_H_

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "engine/base/mutex.h"
#include "engine/batching/device_scheduler.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {

class Notification {
 public:
  void Notify() {
    MutexLock lock(&mutex_);
    notified_ = true;
    changed_.SignalAll();
  }
  void WaitForNotification() {
    MutexLock lock(&mutex_);
    while (!notified_) {
      changed_.Wait(&mutex_);
    }
  }
  bool HasBeenNotified() {
    MutexLock lock(&mutex_);
    return notified_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool notified_ ABSL_GUARDED_BY(mutex_) = false;
};

class FakeClock {
 public:
  absl::Time Now() {
    MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::UnixEpoch();
};

// Task `value` of caller `owner`; its answer is value + 1.
struct AddTask : BatchTask {
  int owner = 0;
  int value = 0;
  int answer = 0;
  absl::Status fail_with;  // What the batch function says of this task.
};

// Batch function that remembers the batches, and an order of all that ran.
class Device {
 public:
  absl::Status RunBatch(absl::Span<BatchTask* const> tasks) {
    std::vector<int> owners;
    for (BatchTask* task : tasks) {
      auto* add = static_cast<AddTask*>(task);
      add->answer = add->value + 1;
      add->status = add->fail_with;
      owners.push_back(add->owner);
    }
    MutexLock lock(&mutex_);
    batches_.push_back(owners);
    order_.push_back("batch");
    return batch_status_;
  }
  BatchFunction function() {
    return
        [this](absl::Span<BatchTask* const> tasks) { return RunBatch(tasks); };
  }
  void Log(const std::string& what) {
    MutexLock lock(&mutex_);
    order_.push_back(what);
  }
  void FailBatches(absl::Status status) {
    MutexLock lock(&mutex_);
    batch_status_ = std::move(status);
  }
  std::vector<std::vector<int>> batches() {
    MutexLock lock(&mutex_);
    return batches_;
  }
  std::vector<std::string> order() {
    MutexLock lock(&mutex_);
    return order_;
  }

 private:
  Mutex mutex_;
  std::vector<std::vector<int>> batches_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> order_ ABSL_GUARDED_BY(mutex_);
  absl::Status batch_status_ ABSL_GUARDED_BY(mutex_);
};

// A call of RunBatched() on a thread of its own.
class Caller {
 public:
  Caller(DeviceScheduler& scheduler, int owner, int num_tasks,
         CallControl control = {}, std::string shape = "8x8",
         std::string function = "add")
      : tasks_(num_tasks) {
    BatchGroup group{std::move(function), std::move(shape), {}};
    for (int i = 0; i < num_tasks; ++i) {
      tasks_[i].owner = owner;
      tasks_[i].value = i;
      group.tasks.push_back(&tasks_[i]);
    }
    thread_ = std::thread([this, &scheduler, group, control] {
      status_ = scheduler.RunBatched({group}, control, &queued_);
      done_.Notify();
    });
  }
  ~Caller() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  absl::Status Join() {
    thread_.join();
    return status_;
  }
  bool done() { return done_.HasBeenNotified(); }
  std::vector<AddTask>& tasks() { return tasks_; }
  absl::Duration queued() const { return queued_; }

 private:
  std::vector<AddTask> tasks_;
  absl::Status status_;
  absl::Duration queued_;
  Notification done_;
  std::thread thread_;
};

class DeviceSchedulerTest : public ::testing::Test {
 protected:
  void Start(DeviceSchedulerOptions options) {
    auto scheduler = DeviceScheduler::Create(std::move(options));
    ASSERT_TRUE(scheduler.ok()) << scheduler.status();
    scheduler_ = *std::move(scheduler);
    ASSERT_TRUE(
        scheduler_->RegisterBatchFunction("add", device_.function()).ok());
  }

  // Occupies the device thread until Unblock(), so that work piles up.
  void Block() {
    blocker_ = std::thread([this] {
      const absl::Status status = scheduler_->Run(
          [this] {
            blocked_.Notify();
            unblock_.WaitForNotification();
            return absl::OkStatus();
          },
          {});
      EXPECT_TRUE(status.ok()) << status;
    });
    blocked_.WaitForNotification();
  }
  void Unblock() {
    unblock_.Notify();
    blocker_.join();
  }

  void WaitQueued(int64_t tasks, int64_t bulk = 0) {
    for (;;) {
      const SchedulerStats stats = scheduler_->stats();
      if (stats.queued_tasks == tasks && stats.queued_bulk == bulk) {
        return;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  std::thread Bulk(absl::Status* status = nullptr, CallControl control = {}) {
    return std::thread([this, status, control] {
      const absl::Status result = scheduler_->RunBulk(
          [this] {
            device_.Log("bulk");
            return absl::OkStatus();
          },
          control);
      if (status != nullptr) {
        *status = result;
      }
    });
  }

  Device device_;
  FakeClock clock_;
  std::unique_ptr<DeviceScheduler> scheduler_;
  std::thread blocker_;
  Notification blocked_;
  Notification unblock_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_BATCHING_DEVICE_SCHEDULER_FIXTURE_H_
