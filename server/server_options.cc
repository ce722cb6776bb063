#include "server/server_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ovdiff::server {
namespace {

struct Range {
  absl::string_view name;
  int64_t value;
  int64_t min;
  int64_t max;
};

}  // namespace

absl::Status Validate(const ServerOptions& options) {
  const Limits& limits = options.limits;
  constexpr int64_t kMany = int64_t{1} << 40;
  const Range ranges[] = {
      {"segment_threads", options.segment_threads, 1, 1024},
      {"control_threads", options.control_threads, 1, 1024},
      {"build_threads", options.build_threads, 1, 64},
      {"prototype_cache_bytes", options.prototype_cache_bytes, 0, kMany},
      {"keep_backups", options.keep_backups, 0, 1 << 20},
      // gRPC counts message bytes in an int.
      {"max_message_bytes", limits.max_message_bytes, 1 << 16, (1LL << 31) - 1},
      {"max_image_pixels", limits.max_image_pixels, 1, int64_t{1} << 30},
      {"max_image_side", limits.max_image_side, 1, 65535},
      {"max_class_name_characters", limits.max_class_name_characters, 1, 1000},
      {"max_classes_per_request", limits.max_classes_per_request, 1, 65535},
      {"max_classes_per_vocabulary", limits.max_classes_per_vocabulary, 1,
       65535},
      {"max_queued_segments", limits.max_queued_segments, 1, 1 << 20},
      {"max_bytes_in_flight", limits.max_bytes_in_flight, 1 << 20, kMany},
      {"max_queued_jobs", limits.max_queued_jobs, 1, 1 << 20},
      {"max_pack_bytes", limits.max_pack_bytes, 1 << 16, kMany},
      {"max_imports", limits.max_imports, 1, 1024},
      {"max_exports", limits.max_exports, 1, 1024},
      {"spool_min_free_bytes", options.spool_min_free_bytes, 0, kMany},
      {"max_streams", limits.max_streams, 1, 1 << 20},
      {"max_stream_in_flight", limits.max_stream_in_flight, 1, 1024},
      {"max_pictures", limits.max_pictures, 1, 256},
      {"max_steps", limits.max_steps, 1, 1000},
      {"max_segment_seconds", absl::ToInt64Seconds(limits.max_segment_seconds),
       1, 86400},
      {"job_retention_seconds", absl::ToInt64Seconds(limits.job_retention), 0,
       kMany},
      {"drain_delay_seconds", absl::ToInt64Seconds(options.drain_delay), 0,
       3600},
      {"drain_timeout_seconds", absl::ToInt64Seconds(options.drain_timeout), 0,
       86400}};
  for (const Range& range : ranges) {
    if (range.value < range.min || range.value > range.max) {
      return absl::InvalidArgumentError(
          absl::StrCat(range.name, " is ", range.value, "; ", range.min, " to ",
                       range.max, " are allowed"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::server
