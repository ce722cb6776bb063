#include "server/executor.h"

#include <atomic>
#include <future>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

// Holds the one worker until it is let go.
class Hold {
 public:
  Executor::Task Task() {
    Executor::Task task;
    task.run = [this] {
      started_.set_value();
      go_.get_future().wait();
    };
    task.drop = [](const absl::Status&) { FAIL(); };
    return task;
  }
  void AwaitStart() { started_.get_future().wait(); }
  void Release() { go_.set_value(); }

 private:
  std::promise<void> started_;
  std::promise<void> go_;
};

Executor::Task Count(std::atomic<int>& runs, std::atomic<int>& drops) {
  Executor::Task task;
  task.run = [&runs] { ++runs; };
  task.drop = [&drops](const absl::Status&) { ++drops; };
  return task;
}

TEST(ExecutorTest, RefusesWhatIsTooMuchAtOnce) {
  Hold hold;
  std::atomic<int> runs{0};
  std::atomic<int> drops{0};
  Executor executor({.name = "test",
                     .num_threads = 1,
                     .max_tasks = 2,
                     .max_bytes = 100,
                     .on_start = nullptr});
  ASSERT_TRUE(executor.Submit(hold.Task()).ok());
  hold.AwaitStart();
  Executor::Task big = Count(runs, drops);
  big.bytes = 101;
  EXPECT_EQ(executor.Submit(std::move(big)).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(executor.Submit(Count(runs, drops)).ok());
  const auto refused = executor.Submit(Count(runs, drops));
  EXPECT_EQ(ReasonOf(refused.status()), "QUEUE_FULL");
  Executor::Task bounded = Count(runs, drops);
  bounded.is_bounded_elsewhere = true;
  EXPECT_TRUE(executor.Submit(std::move(bounded)).ok());
  hold.Release();
  while (runs < 2) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(drops, 0);
}

TEST(ExecutorTest, AnExpiredTaskIsDroppedWhileTheWorkerIsBusy) {
  Hold hold;
  Executor executor({.name = "test",
                     .num_threads = 1,
                     .max_tasks = 9,
                     .max_bytes = 0,
                     .on_start = nullptr});
  ASSERT_TRUE(executor.Submit(hold.Task()).ok());
  hold.AwaitStart();
  std::promise<absl::Status> dropped;
  Executor::Task task;
  task.run = [] { FAIL(); };
  task.drop = [&dropped](absl::Status status) { dropped.set_value(status); };
  task.deadline = absl::Now() + absl::Milliseconds(30);
  ASSERT_TRUE(executor.Submit(std::move(task)).ok());
  EXPECT_EQ(dropped.get_future().get().code(),
            absl::StatusCode::kDeadlineExceeded);
  hold.Release();
}

TEST(ExecutorTest, RemoveTakesWaitingTasksOnly) {
  Hold hold;
  std::atomic<int> runs{0};
  std::atomic<int> drops{0};
  Executor executor({.name = "test",
                     .num_threads = 1,
                     .max_tasks = 9,
                     .max_bytes = 0,
                     .on_start = nullptr});
  const auto running = executor.Submit(hold.Task());
  hold.AwaitStart();
  const auto waiting = executor.Submit(Count(runs, drops));
  EXPECT_TRUE(executor.Remove(*waiting));
  EXPECT_FALSE(executor.Remove(*waiting));
  EXPECT_FALSE(executor.Remove(*running));
  hold.Release();
  executor.Stop();
  EXPECT_EQ(runs + drops, 0);
}

TEST(ExecutorTest, StopDropsWhatWaitsAndRefusesMore) {
  Hold hold;
  std::atomic<int> runs{0};
  std::atomic<int> drops{0};
  Executor executor({.name = "test",
                     .num_threads = 1,
                     .max_tasks = 9,
                     .max_bytes = 0,
                     .on_start = nullptr});
  ASSERT_TRUE(executor.Submit(hold.Task()).ok());
  hold.AwaitStart();
  ASSERT_TRUE(executor.Submit(Count(runs, drops)).ok());
  std::thread stopper([&] { executor.Stop(); });
  while (drops == 0) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(ReasonOf(executor.Submit(Count(runs, drops)).status()), "DRAINING");
  hold.Release();
  stopper.join();
  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace ovdiff::server
