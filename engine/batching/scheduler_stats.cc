#include "engine/batching/scheduler_stats.h"

#include <algorithm>

namespace ovdiff::engine {

void WaitHistogram::Add(absl::Duration wait) {
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(wait));
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[bucket - kBounds.begin()];
  sum_seconds += seconds;
}

}  // namespace ovdiff::engine
