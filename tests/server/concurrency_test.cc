// The server's threads without gRPC between them, so that the thread sanitizer
// sees every lock: jobs, watchers, cancels, segments, the caches.
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "server/executor.h"
#include "server/job_queue.h"
#include "server/log.h"
#include "server/picture_segmenter.h"
#include "tests/server/fake_engine.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

// Follows a job as AddClassesCall does.
class Follower final : public JobWatcher {
 public:
  explicit Follower(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  void OnJobChanged() override {
    MutexLock lock(&mutex_);
    const Job::Update update = job_->ChangesSince(revision_);
    EXPECT_GE(update.revision, revision_);
    revision_ = update.revision;
    is_over_ |= update.is_terminal;
  }
  bool is_over() {
    MutexLock lock(&mutex_);
    return is_over_;
  }

 private:
  const std::shared_ptr<Job> job_;
  Mutex mutex_;
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(ConcurrencyTest, JobsWatchersCancelsAndSegmentsAtOnce) {
  InitLogging("error", /*as_json=*/false);
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  Metrics metrics;
  ServerOptions options = TestOptions();
  options.build_threads = 2;
  VocabularyCache cache(engine, *store, metrics, /*max_bytes=*/5000);
  const PictureSegmenter segmenter(engine, cache, metrics, options.limits);
  JobQueue jobs(engine, *store, cache, metrics, options);
  ASSERT_TRUE(jobs.Start().ok());
  Executor executor({.name = "test",
                     .num_threads = 3,
                     .max_tasks = 1000,
                     .max_bytes = 0,
                     .on_start = nullptr});
  const auto first = jobs.Accept(AddRequest("shop", {"red boat"}));
  ASSERT_TRUE(first.ok());
  while (!(*first)->is_terminal()) {
    absl::SleepFor(absl::Milliseconds(1));
  }

  std::atomic<int> segmented{0};
  for (int i = 0; i < 100; ++i) {
    Executor::Task task;
    task.run = [&] {
      v1::SegmentRequest request;
      request.set_vocabulary("shop");
      const auto plan = segmenter.Plan(request);
      if (plan.ok() && segmenter
                           .Run(**plan, SolidImage(8, 8, 0xE02020), absl::Now(),
                                CallControl())
                           .ok()) {
        ++segmented;
      }
      absl::SleepFor(absl::Milliseconds(1));
    };
    task.drop = [](const absl::Status&) {};
    ASSERT_TRUE(executor.Submit(std::move(task)).ok());
  }

  std::vector<std::thread> callers;
  std::atomic<int> over{0};
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        // Classes that other callers add too.
        const auto job =
            jobs.Accept(AddRequest("shop", {absl::StrCat("class ", i),
                                            absl::StrCat("class ", i + 1)}));
        ASSERT_TRUE(job.ok()) << job.status();
        const auto follower = std::make_shared<Follower>(*job);
        (*job)->AddWatcher(follower);
        if (t == 0 && i % 3 == 0) {
          EXPECT_TRUE(jobs.Cancel((*job)->id()).ok());
        }
        while (!follower->is_over()) {
          absl::SleepFor(absl::Milliseconds(1));
        }
        ++over;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  while (executor.num_waiting() + executor.num_running() > 0) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  executor.Stop();
  jobs.Stop();
  EXPECT_EQ(over, 30);
  EXPECT_EQ(segmented, 100);
  // Eleven class names and one boat; a cancelled build may be begun again.
  EXPECT_LE(engine.num_encoded, 12);
}

}  // namespace
}  // namespace ovdiff::server
