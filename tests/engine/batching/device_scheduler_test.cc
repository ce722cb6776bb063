#include "engine/batching/device_scheduler.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "engine/base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

TEST_F(DeviceSchedulerTest, RefusesOptionsOutOfRange) {
  for (const DeviceSchedulerOptions& options :
       {DeviceSchedulerOptions{.max_batch = 0},
        DeviceSchedulerOptions{.max_queued = 0},
        DeviceSchedulerOptions{.max_queued_bulk = -1},
        DeviceSchedulerOptions{.max_batch_delay = absl::Seconds(-1)},
        DeviceSchedulerOptions{.max_bulk_wait = absl::Seconds(-1)}}) {
    EXPECT_EQ(DeviceScheduler::Create(options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(DeviceSchedulerTest, RunsATaskAtOnceWhenIdle) {
  Start({.max_batch = 8});
  Caller caller(*scheduler_, 1, 1);
  EXPECT_TRUE(caller.Join().ok());
  EXPECT_EQ(caller.tasks()[0].answer, 1);
  EXPECT_EQ(scheduler_->stats().batches, 1);
}

TEST_F(DeviceSchedulerTest, TasksOfWaitingCallsShareBatches) {
  Start({.max_batch = 4});
  Block();
  Caller a(*scheduler_, 1, 3);
  WaitQueued(3);
  Caller b(*scheduler_, 2, 3);
  WaitQueued(6);
  Unblock();
  EXPECT_TRUE(a.Join().ok());
  EXPECT_TRUE(b.Join().ok());
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(1, 2, 1, 2), ElementsAre(1, 2)));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(a.tasks()[i].answer, i + 1);
    EXPECT_EQ(b.tasks()[i].answer, i + 1);
  }
  const SchedulerStats stats = scheduler_->stats();
  EXPECT_EQ(stats.batches, 2);
  EXPECT_EQ(stats.batched_tasks, 6);
  EXPECT_EQ(stats.single_tasks, 1);
}

TEST_F(DeviceSchedulerTest, OtherShapesAndFunctionsDoNotShare) {
  Start({.max_batch = 8});
  ASSERT_TRUE(
      scheduler_->RegisterBatchFunction("sub", device_.function(), 1).ok());
  Block();
  Caller a(*scheduler_, 1, 2, {}, "8x8");
  WaitQueued(2);
  Caller b(*scheduler_, 2, 2, {}, "16x16");
  WaitQueued(4);
  Caller c(*scheduler_, 3, 2, {}, "8x8", "sub");
  WaitQueued(6);
  Unblock();
  EXPECT_TRUE(a.Join().ok() && b.Join().ok() && c.Join().ok());
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(1, 1), ElementsAre(2, 2), ElementsAre(3),
                          ElementsAre(3)));
}

TEST_F(DeviceSchedulerTest, QueuesTakeTurns) {
  Start({.max_batch = 1});
  Block();
  Caller a(*scheduler_, 1, 3, {}, "8x8");
  WaitQueued(3);
  Caller b(*scheduler_, 2, 1, {}, "16x16");
  WaitQueued(4);
  Unblock();
  EXPECT_TRUE(a.Join().ok() && b.Join().ok());
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(1), ElementsAre(2),
                                             ElementsAre(1), ElementsAre(1)));
}

TEST_F(DeviceSchedulerTest, ABigCallDoesNotHoldUpASmallOne) {
  Start({.max_batch = 4});
  Block();
  Caller big(*scheduler_, 1, 300);
  WaitQueued(300);
  Caller small(*scheduler_, 2, 1);
  WaitQueued(301);
  Unblock();
  EXPECT_TRUE(big.Join().ok());
  EXPECT_TRUE(small.Join().ok());
  EXPECT_THAT(device_.batches()[0], ElementsAre(1, 2, 1, 1));
}

TEST_F(DeviceSchedulerTest, FullQueueRefusesTheWholeCallAtOnce) {
  Start({.max_batch = 4, .max_queued = 5});
  Block();
  Caller a(*scheduler_, 1, 3);
  WaitQueued(3);
  Caller b(*scheduler_, 2, 3);
  const absl::Status refused = b.Join();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("3 of 5"));
  EXPECT_EQ(b.tasks()[2].status.code(), absl::StatusCode::kUnavailable);
  Caller c(*scheduler_, 3, 2);
  WaitQueued(5);
  EXPECT_EQ(scheduler_->stats().rejected_tasks, 3);
  Unblock();
  EXPECT_TRUE(a.Join().ok() && c.Join().ok());
}

TEST_F(DeviceSchedulerTest, ACallThatNeverFitsIsAPermanentError) {
  Start({.max_queued = 5});
  Caller caller(*scheduler_, 1, 6);
  EXPECT_EQ(caller.Join().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(device_.batches().empty());
}

TEST_F(DeviceSchedulerTest, UnknownOrDoubleFunctionIsRefused) {
  Start({});
  Caller caller(*scheduler_, 1, 1, {}, "8x8", "mul");
  EXPECT_EQ(caller.Join().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(scheduler_->RegisterBatchFunction("add", device_.function()).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(DeviceSchedulerTest, NoTasksIsOk) {
  Start({});
  EXPECT_TRUE(scheduler_->RunBatched({}, {}).ok());
}

TEST_F(DeviceSchedulerTest, DeadlineInQueueReturnsWhileTheDeviceIsBusy) {
  Start({.clock = [this] { return clock_.Now(); }});
  Block();
  CallControl control;
  control.deadline = clock_.Now() + absl::Seconds(1);
  Caller caller(*scheduler_, 1, 2, control);
  WaitQueued(2);
  EXPECT_FALSE(caller.done());
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(caller.Join().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(scheduler_->stats().queued_tasks, 0);
  EXPECT_EQ(scheduler_->stats().expired_tasks, 2);
  Unblock();
  EXPECT_TRUE(device_.batches().empty());
}

TEST_F(DeviceSchedulerTest, CancelInQueueReturnsWhileTheDeviceIsBusy) {
  Start({});
  Block();
  CallControl control;
  Caller cancelled(*scheduler_, 1, 2, control);
  WaitQueued(2);
  Caller other(*scheduler_, 2, 1);
  WaitQueued(3);
  control.cancellation.Cancel();
  EXPECT_EQ(cancelled.Join().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(other.done());
  Unblock();
  EXPECT_TRUE(other.Join().ok());
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(2)));
}

TEST_F(DeviceSchedulerTest, AnExpiredCallIsNotEvenQueued) {
  Start({});
  CallControl control;
  control.deadline = absl::InfinitePast();
  Caller caller(*scheduler_, 1, 1, control);
  EXPECT_EQ(caller.Join().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(device_.batches().empty());
}

TEST_F(DeviceSchedulerTest, DeadlineDuringWorkWaitsForTheWork) {
  Start({.clock = [this] { return clock_.Now(); }});
  bool finished = false;
  CallControl control;
  control.deadline = clock_.Now() + absl::Seconds(1);
  const absl::Status status = scheduler_->Run(
      [&] {
        clock_.Advance(absl::Seconds(2));
        absl::SleepFor(absl::Milliseconds(30));
        finished = true;
        return absl::OkStatus();
      },
      control);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(finished);
}

TEST_F(DeviceSchedulerTest, AFailingTaskFailsItsCallOnly) {
  Start({.max_batch = 4});
  Block();
  Caller bad(*scheduler_, 1, 3);
  bad.tasks()[0].fail_with = absl::InternalError("not finite");
  WaitQueued(3);
  Caller good(*scheduler_, 2, 3);
  WaitQueued(6);
  Unblock();
  EXPECT_TRUE(good.Join().ok());
  const absl::Status status = bad.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(bad.tasks()[1].status.ok());
  EXPECT_EQ(bad.tasks()[2].status.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(1, 2, 1, 2), ElementsAre(2)));
}

TEST_F(DeviceSchedulerTest, AFailingBatchFailsAllInItAndNobodyAfter) {
  Start({.max_batch = 2});
  device_.FailBatches(absl::ResourceExhaustedError("no device memory"));
  Caller a(*scheduler_, 1, 2);
  EXPECT_EQ(a.Join().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(a.tasks()[1].status.code(), absl::StatusCode::kResourceExhausted);
  device_.FailBatches(absl::OkStatus());
  Caller b(*scheduler_, 2, 2);
  EXPECT_TRUE(b.Join().ok());
}

TEST_F(DeviceSchedulerTest, AnExceptionBecomesAStatus) {
  Start({});
  const absl::Status status = scheduler_->Run(
      []() -> absl::Status { throw std::runtime_error("boom"); }, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("boom"));
  EXPECT_TRUE(scheduler_->Run([] { return absl::OkStatus(); }, {}).ok());
}

TEST_F(DeviceSchedulerTest, WorkThatWaitsForWorkIsRefused) {
  Start({});
  const absl::Status status = scheduler_->Run(
      [this] { return scheduler_->Run([] { return absl::OkStatus(); }, {}); },
      {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
}

TEST_F(DeviceSchedulerTest, StopFailsWaitingCallsAndFinishesRunningOnes) {
  Start({});
  Block();
  Caller a(*scheduler_, 1, 2);
  WaitQueued(2);
  absl::Status bulk_status;
  std::thread bulk = Bulk(&bulk_status);
  WaitQueued(2, 1);
  std::thread stopper([this] { scheduler_->Stop(); });
  EXPECT_EQ(a.Join().code(), absl::StatusCode::kUnavailable);
  bulk.join();
  EXPECT_EQ(bulk_status.code(), absl::StatusCode::kUnavailable);
  Unblock();  // Checks that the running one is OK.
  stopper.join();
  EXPECT_TRUE(device_.order().empty());
  Caller late(*scheduler_, 2, 1);
  EXPECT_EQ(late.Join().code(), absl::StatusCode::kUnavailable);
  scheduler_->Stop();
}

TEST_F(DeviceSchedulerTest, DestructionWithWaitingCallsDoesNotHang) {
  Start({});
  Block();
  Caller a(*scheduler_, 1, 2);
  WaitQueued(2);
  std::thread destroyer([this] { scheduler_.reset(); });
  EXPECT_EQ(a.Join().code(), absl::StatusCode::kUnavailable);
  Unblock();
  destroyer.join();
}

TEST_F(DeviceSchedulerTest, BulkYieldsToInteractive) {
  Start({.max_batch = 1, .max_bulk_wait = absl::Hours(1)});
  Block();
  std::thread bulk = Bulk();
  WaitQueued(0, 1);
  Caller a(*scheduler_, 1, 3);
  WaitQueued(3, 1);
  Unblock();
  EXPECT_TRUE(a.Join().ok());
  bulk.join();
  EXPECT_THAT(device_.order(), ElementsAre("batch", "batch", "batch", "bulk"));
  EXPECT_EQ(scheduler_->stats().bulk_quanta, 1);
}

TEST_F(DeviceSchedulerTest, BulkThatWaitedLongRunsOneQuantumFirst) {
  Start({.max_batch = 1, .max_bulk_wait = absl::Seconds(2), .clock = [this] {
           return clock_.Now();
         }});
  Block();
  std::thread bulk_1 = Bulk();
  WaitQueued(0, 1);
  std::thread bulk_2 = Bulk();
  WaitQueued(0, 2);
  Caller a(*scheduler_, 1, 3);
  WaitQueued(3, 2);
  clock_.Advance(absl::Seconds(3));
  Unblock();
  EXPECT_TRUE(a.Join().ok());
  bulk_1.join();
  bulk_2.join();
  // Only one: the second has its turn 2 s later, or when the device is free.
  EXPECT_THAT(device_.order(),
              ElementsAre("bulk", "batch", "batch", "batch", "bulk"));
}

TEST_F(DeviceSchedulerTest, ZeroBulkWaitAlternates) {
  Start({.max_batch = 1, .max_bulk_wait = absl::ZeroDuration()});
  Block();
  std::thread bulk_1 = Bulk();
  WaitQueued(0, 1);
  std::thread bulk_2 = Bulk();
  WaitQueued(0, 2);
  Caller a(*scheduler_, 1, 2);
  WaitQueued(2, 2);
  Unblock();
  EXPECT_TRUE(a.Join().ok());
  bulk_1.join();
  bulk_2.join();
  EXPECT_THAT(device_.order(), ElementsAre("bulk", "batch", "bulk", "batch"));
}

TEST_F(DeviceSchedulerTest, BulkIsNotStarvedByEndlessInteractiveLoad) {
  Start({.max_batch = 2, .max_bulk_wait = absl::Milliseconds(5)});
  std::atomic<bool> stop = false;
  std::vector<std::thread> load;
  for (int i = 0; i < 3; ++i) {
    load.emplace_back([&] {
      while (!stop) {
        EXPECT_TRUE(scheduler_
                        ->Run(
                            [] {
                              absl::SleepFor(absl::Milliseconds(1));
                              return absl::OkStatus();
                            },
                            {})
                        .ok());
      }
    });
  }
  for (int step = 0; step < 5; ++step) {
    Bulk().join();
  }
  stop = true;
  for (std::thread& thread : load) {
    thread.join();
  }
  EXPECT_EQ(scheduler_->stats().bulk_quanta, 5);
}

TEST_F(DeviceSchedulerTest, AnOpenScopeHoldsBulkBack) {
  Start({.max_bulk_wait = absl::Seconds(2),
         .clock = [this] { return clock_.Now(); }});
  std::thread bulk;
  {
    DeviceScheduler::InteractiveScope scope(*scheduler_);
    bulk = Bulk();
    WaitQueued(0, 1);
    EXPECT_TRUE(scheduler_->Run([] { return absl::OkStatus(); }, {}).ok());
    absl::SleepFor(absl::Milliseconds(30));
    EXPECT_EQ(scheduler_->stats().queued_bulk, 1);
  }
  bulk.join();
  DeviceScheduler::InteractiveScope scope(*scheduler_);
  bulk = Bulk();
  WaitQueued(0, 1);
  clock_.Advance(absl::Seconds(3));
  bulk.join();
}

TEST_F(DeviceSchedulerTest, FullBulkQueueRefuses) {
  Start({.max_queued_bulk = 1});
  Block();
  std::thread first = Bulk();
  WaitQueued(0, 1);
  absl::Status status;
  Bulk(&status).join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  Unblock();
  first.join();
}

TEST_F(DeviceSchedulerTest, CancelledBulkLeavesTheQueue) {
  Start({});
  Block();
  CallControl control;
  absl::Status status;
  std::thread bulk = Bulk(&status, control);
  WaitQueued(0, 1);
  control.cancellation.Cancel();
  bulk.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  Unblock();
  EXPECT_TRUE(device_.order().empty());
}

TEST_F(DeviceSchedulerTest, AnUnfinishedBatchWaitsForCompany) {
  Start({.max_batch = 2, .max_batch_delay = absl::Seconds(1), .clock = [this] {
           return clock_.Now();
         }});
  Caller a(*scheduler_, 1, 1);
  WaitQueued(1);
  absl::SleepFor(absl::Milliseconds(30));
  EXPECT_FALSE(a.done());
  Caller b(*scheduler_, 2, 1);  // Full: runs without delay.
  EXPECT_TRUE(a.Join().ok() && b.Join().ok());
  Caller c(*scheduler_, 3, 1);
  WaitQueued(1);
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(c.Join().ok());
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(1, 2), ElementsAre(3)));
}

TEST_F(DeviceSchedulerTest, ReportsTimeInQueue) {
  Start({.clock = [this] { return clock_.Now(); }});
  Block();
  Caller a(*scheduler_, 1, 1);
  WaitQueued(1);
  clock_.Advance(absl::Seconds(3));
  Unblock();
  EXPECT_TRUE(a.Join().ok());
  EXPECT_EQ(a.queued(), absl::Seconds(3));
  const SchedulerStats stats = scheduler_->stats();
  EXPECT_DOUBLE_EQ(stats.interactive_wait.sum_seconds, 3);
  EXPECT_EQ(stats.interactive_wait.counts[0], 1);   // The blocker.
  EXPECT_EQ(stats.interactive_wait.counts[11], 1);  // 2…5 s.
  EXPECT_DOUBLE_EQ(stats.busy_seconds, 3);
}

TEST_F(DeviceSchedulerTest, OnThreadStartRunsOnTheDeviceThread) {
  std::atomic<std::thread::id> started;
  Start({.on_thread_start = [&] { started = std::this_thread::get_id(); }});
  std::thread::id ran;
  ASSERT_TRUE(scheduler_
                  ->Run(
                      [&] {
                        ran = std::this_thread::get_id();
                        return absl::OkStatus();
                      },
                      {})
                  .ok());
  EXPECT_EQ(started.load(), ran);
}

// One caller of the stress test: right answers, or a reason that was asked for.
void RunStressCaller(DeviceScheduler& scheduler, int owner, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    CallControl control;
    const bool hurried = (owner + round) % 5 == 0;
    if (hurried) {
      control.deadline = absl::Now() + absl::Microseconds(200);
    }
    std::vector<AddTask> tasks(1 + (owner * 7 + round) % 9);
    BatchGroup groups[2] = {{"add", "8x8", {}}, {"add", "16x16", {}}};
    for (size_t i = 0; i < tasks.size(); ++i) {
      tasks[i].value = static_cast<int>(i) + 100 * owner;
      groups[i % 2].tasks.push_back(&tasks[i]);
    }
    const absl::Status status = scheduler.RunBatched(groups, control);
    if (!status.ok()) {
      ASSERT_TRUE(hurried || absl::IsUnavailable(status)) << status;
      continue;
    }
    for (size_t i = 0; i < tasks.size(); ++i) {
      ASSERT_EQ(tasks[i].answer, static_cast<int>(i) + 100 * owner + 1);
    }
  }
}

TEST_F(DeviceSchedulerTest, ManyThreads) {
  Start({.max_batch = 5,
         .max_queued = 40,
         .max_batch_delay = absl::Microseconds(50),
         .max_bulk_wait = absl::Milliseconds(1)});
  std::vector<std::thread> threads;
  for (int owner = 0; owner < 12; ++owner) {
    threads.emplace_back(
        [this, owner] { RunStressCaller(*scheduler_, owner, 100); });
  }
  std::thread bulk([this] {
    for (int step = 0; step < 50; ++step) {
      DeviceScheduler::InteractiveScope scope(*scheduler_);
      EXPECT_TRUE(
          scheduler_->RunBulk([] { return absl::OkStatus(); }, {}).ok());
    }
  });
  for (std::thread& thread : threads) {
    thread.join();
  }
  bulk.join();
  const SchedulerStats stats = scheduler_->stats();
  EXPECT_EQ(stats.queued_tasks, 0);
  EXPECT_EQ(stats.bulk_quanta, 50);
  EXPECT_GT(stats.batched_tasks, 0);
  EXPECT_LE(stats.batched_tasks, 5 * stats.batches);
}

}  // namespace
}  // namespace ovdiff::engine
