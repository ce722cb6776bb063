// AdminServer: plain HTTP for operators: /metrics, /livez, /readyz.
#ifndef OVDIFF_SERVER_ADMIN_SERVER_H_
#define OVDIFF_SERVER_ADMIN_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"
#include "server/metrics.h"
#include "server/readiness.h"

namespace ovdiff::server {

// Thread-safe. /livez answers as long as the process can; it looks at neither
// the store nor the device. /readyz answers 503 and why while not ready.
class AdminServer {
 public:
  // `address` is host:port; port 0 takes a free one. kUnavailable if it cannot
  // listen there. REQUIRES: the references outlive it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Create(
      const std::string& address, Metrics& metrics, const Readiness& readiness);
  ~AdminServer();

  // Adds to /metrics for as long as `collector` lives.
  void AddCollector(std::weak_ptr<prometheus::Collectable> collector);

  // host:port as bound.
  std::string address() const;

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_ADMIN_SERVER_H_
