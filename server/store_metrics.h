// StoreMetrics: what looking after the store leaves in /metrics. The store's
// counts and sizes are in server_collector.h.
#ifndef OVDIFF_SERVER_STORE_METRICS_H_
#define OVDIFF_SERVER_STORE_METRICS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace ovdiff::server {

// Thread-safe. Times are 0 until the first one: an alert on age catches what
// has never been done.
class StoreMetrics {
 public:
  // REQUIRES: `registry` outlives it; one of these per registry.
  explicit StoreMetrics(prometheus::Registry& registry);

  // A verify or scrub that went through, at `time`.
  void Verified(absl::Time time, int64_t num_problems, int64_t num_bytes);
  void GarbageFreed(int64_t bytes);
  void BackedUp(absl::Time time);

 private:
  prometheus::Gauge& verify_time_;
  prometheus::Gauge& verify_bytes_;
  // Nothing is shown before the first result.
  prometheus::Family<prometheus::Gauge>& verify_problems_;
  prometheus::Counter& freed_bytes_;
  prometheus::Gauge& backup_time_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_METRICS_H_
