#include "server/metrics.h"

#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Labels;
using Buckets = prometheus::Histogram::BucketBoundaries;

// 1 ms … 100 s; the coarse end is for class builds' calls.
const Buckets& LatencyBuckets() {
  static const auto* const buckets =
      new Buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                  0.5,   1,      2.5,   5,    10,    30,   100};
  return *buckets;
}

// Stores answer in microseconds.
const Buckets& FastBuckets() {
  static const auto* const buckets =
      new Buckets{0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003,
                  0.01,    0.03,    0.1,    0.3,    1,     10};
  return *buckets;
}

Labels MethodLabels(const MethodInfo& method) {
  return {{"grpc_type", std::string(method.type)},
          {"grpc_service", std::string(method.service)},
          {"grpc_method", std::string(method.method)}};
}

prometheus::Family<prometheus::Counter>& Counters(
    prometheus::Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Histogram>& Histograms(
    prometheus::Registry& registry, const char* name, const char* help) {
  return BuildHistogram().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry& registry,
                                              const char* name,
                                              const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}

}  // namespace

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      started_(
          Counters(*registry_, "grpc_server_started_total", "RPCs started.")),
      handled_(Counters(*registry_, "grpc_server_handled_total",
                        "RPCs completed, by status code.")),
      handling_seconds_(Histograms(*registry_, "grpc_server_handling_seconds",
                                   "Seconds from start to end of RPCs.")),
      received_(Counters(*registry_, "grpc_server_msg_received_total",
                         "Request messages.")),
      sent_(Counters(*registry_, "grpc_server_msg_sent_total",
                     "Response messages.")),
      queue_wait_(Histograms(*registry_, "ovdiff_queue_wait_seconds",
                             "Seconds waited before work began.")),
      rejections_(Counters(*registry_, "ovdiff_rejections_total",
                           "Requests and frames refused, by reason.")),
      prototype_hits_(Counters(*registry_, "ovdiff_prototype_hits_total",
                               "Prototypes found, by tier.")),
      prototype_misses_(Counters(*registry_, "ovdiff_prototype_misses_total",
                                 "Prototypes not found, by tier.")),
      jobs_(Gauges(*registry_, "ovdiff_jobs", "Jobs that are in a state.")),
      jobs_ended_(Counters(*registry_, "ovdiff_jobs_ended_total",
                           "Jobs that reached a terminal state.")),
      store_ops_(Histograms(*registry_, "ovdiff_store_op_seconds",
                            "Seconds of store operations.")),
      segment_stage_(Histograms(*registry_, "ovdiff_segment_stage_seconds",
                                "Seconds of the stages of segmentation.")),
      streams_(Gauges(*registry_, "ovdiff_streams", "Open StreamSegment calls.")
                   .Add({})),
      prototype_cache_bytes_(Gauges(*registry_, "ovdiff_prototype_cache_bytes",
                                    "Loaded prototypes kept.")
                                 .Add({})),
      build_info_(Gauges(*registry_, "ovdiff_build_info",
                         "1; what runs is in the labels.")) {}

void Metrics::RpcStarted(const MethodInfo& method) {
  started_.Add(MethodLabels(method)).Increment();
}

void Metrics::RpcHandled(const MethodInfo& method, absl::StatusCode code,
                         absl::Duration duration) {
  Labels labels = MethodLabels(method);
  handling_seconds_.Add(labels, LatencyBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
  labels["grpc_code"] = CodeName(code);
  handled_.Add(labels).Increment();
}

void Metrics::MessageReceived(const MethodInfo& method) {
  received_.Add(MethodLabels(method)).Increment();
}

void Metrics::MessageSent(const MethodInfo& method) {
  sent_.Add(MethodLabels(method)).Increment();
}

void Metrics::QueueWait(absl::string_view lane, absl::Duration wait) {
  queue_wait_.Add({{"lane", std::string(lane)}}, LatencyBuckets())
      .Observe(absl::ToDoubleSeconds(wait));
}

void Metrics::Rejected(absl::string_view reason) {
  rejections_.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::PrototypeHit(absl::string_view tier) {
  prototype_hits_.Add({{"tier", std::string(tier)}}).Increment();
}

void Metrics::PrototypeMiss(absl::string_view tier) {
  prototype_misses_.Add({{"tier", std::string(tier)}}).Increment();
}

void Metrics::SetJobs(absl::string_view state, int64_t count) {
  jobs_.Add({{"state", std::string(state)}}).Set(static_cast<double>(count));
}

void Metrics::JobEnded(absl::string_view state) {
  jobs_ended_.Add({{"state", std::string(state)}}).Increment();
}

void Metrics::StoreOp(absl::string_view op, absl::StatusCode code,
                      absl::Duration duration) {
  store_ops_
      .Add({{"op", std::string(op)}, {"code", CodeName(code)}}, FastBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::SegmentStage(absl::string_view stage, absl::Duration duration) {
  segment_stage_.Add({{"stage", std::string(stage)}}, LatencyBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::AddStreams(int delta) { streams_.Increment(delta); }

void Metrics::SetPrototypeCacheBytes(int64_t bytes) {
  prototype_cache_bytes_.Set(static_cast<double>(bytes));
}

void Metrics::SetBuildInfo(absl::string_view version, absl::string_view device,
                           absl::string_view bundle) {
  build_info_
      .Add({{"version", std::string(version)},
            {"device", std::string(device)},
            {"bundle", std::string(bundle)}})
      .Set(1);
}

}  // namespace ovdiff::server
