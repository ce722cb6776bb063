#include "server/store_metrics.h"

namespace ovdiff::server {
namespace {

prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry& registry,
                                              const char* name,
                                              const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

double UnixSeconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

}  // namespace

StoreMetrics::StoreMetrics(prometheus::Registry& registry)
    : verify_time_(Gauges(registry,
                          "ovdiff_store_last_verify_timestamp_seconds",
                          "When the last verify or scrub of the store ended; "
                          "0: none since the start.")
                       .Add({})),
      verify_bytes_(Gauges(registry, "ovdiff_store_last_verify_bytes",
                           "Bytes of records that it read.")
                        .Add({})),
      verify_problems_(Gauges(registry, "ovdiff_store_last_verify_problems",
                              "Records that it found damaged, missing or "
                              "unreadable.")),
      freed_bytes_(
          prometheus::BuildCounter()
              .Name("ovdiff_store_garbage_freed_bytes_total")
              .Help("Bytes of the records that garbage collection deleted.")
              .Register(registry)
              .Add({})),
      backup_time_(Gauges(registry,
                          "ovdiff_store_last_backup_timestamp_seconds",
                          "When the last backup of the store ended; 0: none "
                          "since the start.")
                       .Add({})) {}

void StoreMetrics::Verified(absl::Time time, int64_t num_problems,
                            int64_t num_bytes) {
  verify_time_.Set(UnixSeconds(time));
  verify_bytes_.Set(static_cast<double>(num_bytes));
  verify_problems_.Add({}).Set(static_cast<double>(num_problems));
}

void StoreMetrics::GarbageFreed(int64_t bytes) {
  freed_bytes_.Increment(static_cast<double>(bytes));
}

void StoreMetrics::BackedUp(absl::Time time) {
  backup_time_.Set(UnixSeconds(time));
}

}  // namespace ovdiff::server
