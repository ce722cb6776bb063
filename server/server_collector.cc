#include "server/server_collector.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/time/clock.h"
#include "prometheus/metric_family.h"

namespace ovdiff::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily One(MetricType type, const char* name, const char* help,
                 double value) {
  ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(std::move(metric));
  return family;
}

MetricFamily Counter(const char* name, const char* help, double value) {
  return One(MetricType::Counter, name, help, value);
}

MetricFamily Gauge(const char* name, const char* help, double value) {
  return One(MetricType::Gauge, name, help, value);
}

void AppendEngine(const engine::EngineStats& stats,
                  std::vector<MetricFamily>& out) {
  const auto batches = static_cast<double>(stats.batches);
  const auto windows = static_cast<double>(stats.batched_windows);
  out.push_back(
      Counter("ovdiff_batches_total", "Batches of windows run.", batches));
  out.push_back(Counter("ovdiff_batched_windows_total",
                        "Windows in those batches.", windows));
  out.push_back(Gauge("ovdiff_batch_size_mean",
                      "Windows per batch since the start.",
                      batches > 0 ? windows / batches : 0.0));
  out.push_back(Counter("ovdiff_generation_steps_total",
                        "Denoising steps (UNet calls) of painting.",
                        static_cast<double>(stats.denoising_steps)));
  out.push_back(Gauge("ovdiff_device_queued_tasks",
                      "Tasks that wait for the device.",
                      static_cast<double>(stats.queued_tasks)));
  out.push_back(Counter("ovdiff_device_rejected_tasks_total",
                        "Tasks refused because the device's queue was full.",
                        static_cast<double>(stats.rejected_tasks)));
  out.push_back(Counter("ovdiff_device_busy_seconds_total",
                        "Seconds that the device worked.",
                        stats.device_busy_seconds));
}

void AppendStore(const store::PrototypeStore& store,
                 std::vector<MetricFamily>& out) {
  out.push_back(Gauge("ovdiff_store_healthy",
                      "1 while writes to the store can succeed.",
                      store.Health().ok() ? 1 : 0));
  const auto stats = store.Stats();
  if (!stats.ok()) {
    return;
  }
  out.push_back(Gauge("ovdiff_store_prototype_sets", "Stored prototype sets.",
                      static_cast<double>(stats->num_prototype_sets)));
  out.push_back(Gauge("ovdiff_store_support_sets", "Stored support sets.",
                      static_cast<double>(stats->num_support_sets)));
  out.push_back(Gauge("ovdiff_store_vocabularies", "Stored vocabularies.",
                      static_cast<double>(stats->num_vocabularies)));
  out.push_back(Gauge("ovdiff_store_disk_bytes", "Bytes of the store's files.",
                      static_cast<double>(stats->disk_bytes)));
  out.push_back(Gauge("ovdiff_store_dead_bytes",
                      "Bytes deleted or replaced that a compaction would free.",
                      static_cast<double>(stats->dead_bytes)));
  out.push_back(Gauge("ovdiff_store_free_bytes",
                      "Bytes free on the volume of the store.",
                      static_cast<double>(stats->free_bytes)));
  out.push_back(Gauge("ovdiff_store_damaged_sets",
                      "Sets found damaged and not rebuilt since.",
                      static_cast<double>(stats->num_damaged)));
  out.push_back(Counter("ovdiff_store_background_errors_total",
                        "Times that the database stopped writing by itself.",
                        static_cast<double>(stats->num_background_errors)));
}

// Names and units of Prometheus's client libraries.
void AppendProcess(absl::Time start_time, std::vector<MetricFamily>& out) {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  if (statm >> total_pages >> resident_pages) {
    const auto page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));
    out.push_back(Gauge("process_resident_memory_bytes",
                        "Resident memory in bytes.",
                        resident_pages * page_bytes));
    out.push_back(Gauge("process_virtual_memory_bytes",
                        "Virtual memory in bytes.", total_pages * page_bytes));
  }
  std::error_code error;
  const std::filesystem::directory_iterator fds("/proc/self/fd", error);
  if (!error) {
    out.push_back(Gauge("process_open_fds", "Open file descriptors.",
                        static_cast<double>(std::distance(
                            fds, std::filesystem::directory_iterator()))));
  }
  out.push_back(Gauge("process_start_time_seconds",
                      "Start of the process, seconds since the Unix epoch.",
                      absl::ToDoubleSeconds(start_time - absl::UnixEpoch())));
}

}  // namespace

ServerCollector::ServerCollector(const engine::Engine& engine,
                                 const store::PrototypeStore& store)
    : engine_(engine), store_(store), start_time_(absl::Now()) {}

std::vector<MetricFamily> ServerCollector::Collect() const {
  std::vector<MetricFamily> families;
  AppendEngine(engine_.stats(), families);
  AppendStore(store_, families);
  AppendProcess(start_time_, families);
  return families;
}

}  // namespace ovdiff::server
