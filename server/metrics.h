// Metrics: what /metrics shows. Names follow the go-grpc-prometheus set for
// RPCs and `ovdiff_` for the rest (serving.md B11). Labels never carry callers'
// words.
#ifndef OVDIFF_SERVER_METRICS_H_
#define OVDIFF_SERVER_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace ovdiff::server {

// One RPC method, as metrics and logs name it. Points to literals.
struct MethodInfo {
  absl::string_view type;     // "unary", "server_stream", "client_stream",
                              // "bidi_stream"
  absl::string_view service;  // "ovdiff.v1.SegmentationService"
  absl::string_view method;   // "Segment"
};

// Thread-safe.
class Metrics {
 public:
  Metrics();

  prometheus::Registry& registry() { return *registry_; }

  void RpcStarted(const MethodInfo& method);
  void RpcHandled(const MethodInfo& method, absl::StatusCode code,
                  absl::Duration duration);
  void MessageReceived(const MethodInfo& method);
  void MessageSent(const MethodInfo& method);

  // `lane`: "segment", "control", "store", "pack", "device".
  void QueueWait(absl::string_view lane, absl::Duration wait);
  // `reason`: an ErrorInfo reason.
  void Rejected(absl::string_view reason);
  // `tier`: "device" (loaded already), "store" (a stored prototype set),
  // "pictures" (stored support pictures).
  void PrototypeHit(absl::string_view tier);
  void PrototypeMiss(absl::string_view tier);
  void SetJobs(absl::string_view state, int64_t count);
  void JobEnded(absl::string_view state);
  void StoreOp(absl::string_view op, absl::StatusCode code,
               absl::Duration duration);
  void SegmentStage(absl::string_view stage, absl::Duration duration);
  void AddStreams(int delta);
  void SetPrototypeCacheBytes(int64_t bytes);
  void SetBuildInfo(absl::string_view version, absl::string_view device,
                    absl::string_view bundle);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& started_;
  prometheus::Family<prometheus::Counter>& handled_;
  prometheus::Family<prometheus::Histogram>& handling_seconds_;
  prometheus::Family<prometheus::Counter>& received_;
  prometheus::Family<prometheus::Counter>& sent_;
  prometheus::Family<prometheus::Histogram>& queue_wait_;
  prometheus::Family<prometheus::Counter>& rejections_;
  prometheus::Family<prometheus::Counter>& prototype_hits_;
  prometheus::Family<prometheus::Counter>& prototype_misses_;
  prometheus::Family<prometheus::Gauge>& jobs_;
  prometheus::Family<prometheus::Counter>& jobs_ended_;
  prometheus::Family<prometheus::Histogram>& store_ops_;
  prometheus::Family<prometheus::Histogram>& segment_stage_;
  prometheus::Gauge& streams_;
  prometheus::Gauge& prototype_cache_bytes_;
  prometheus::Family<prometheus::Gauge>& build_info_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_METRICS_H_
