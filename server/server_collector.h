// ServerCollector: metrics that are read when asked for: the engine's counters,
// the store's size, the process.
#ifndef OVDIFF_SERVER_SERVER_COLLECTOR_H_
#define OVDIFF_SERVER_SERVER_COLLECTOR_H_

#include <vector>

#include "absl/time/time.h"
#include "engine/engine.h"
#include "prometheus/collectable.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. REQUIRES: both outlive it.
class ServerCollector final : public prometheus::Collectable {
 public:
  ServerCollector(const engine::Engine& engine,
                  const store::PrototypeStore& store);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const engine::Engine& engine_;
  const store::PrototypeStore& store_;
  const absl::Time start_time_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SERVER_COLLECTOR_H_
