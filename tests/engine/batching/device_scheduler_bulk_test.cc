// Bulk work beside batches, and many threads at once.

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/batching/device_scheduler_fixture.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;

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
