#include "engine/batching/device_scheduler.h"

#include <stdexcept>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/batching/device_scheduler_fixture.h"

namespace ovdiff::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace ovdiff::engine
