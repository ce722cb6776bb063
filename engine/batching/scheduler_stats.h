// What the metrics endpoint reads of a DeviceScheduler.
#ifndef OVDIFF_ENGINE_BATCHING_SCHEDULER_STATS_H_
#define OVDIFF_ENGINE_BATCHING_SCHEDULER_STATS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace ovdiff::engine {

// Time from submission to start, of one lane. Plain data; copy freely.
struct WaitHistogram {
  // Upper bounds in seconds; the last bucket has none.
  static constexpr std::array<double, 12> kBounds = {
      0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};

  std::array<int64_t, kBounds.size() + 1> counts =
      {};  // per bucket, not summed
  double sum_seconds = 0;

  void Add(absl::Duration wait);
};

struct SchedulerStats {
  // Monotonic since Create().
  int64_t batches = 0;         // Calls of batch functions.
  int64_t batched_tasks = 0;   // Tasks in them; mean batch = tasks / batches.
  int64_t single_tasks = 0;    // Run() calls that ran.
  int64_t bulk_quanta = 0;     // RunBulk() calls that ran.
  int64_t rejected_tasks = 0;  // Refused because a queue was full.
  int64_t expired_tasks = 0;   // Left the queue by deadline or cancellation.
  double busy_seconds = 0;     // The device thread ran something.
  WaitHistogram interactive_wait;  // One entry per batched or single task.
  WaitHistogram bulk_wait;
  // Gauges.
  int64_t queued_tasks = 0;  // Interactive tasks waiting now.
  int64_t queued_bulk = 0;   // Bulk quanta waiting now.
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BATCHING_SCHEDULER_STATS_H_
