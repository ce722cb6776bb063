// What an operator sets. Every limit that a caller can meet is published by
// GetServerInfo under the same name.
#ifndef OVDIFF_SERVER_SERVER_OPTIONS_H_
#define OVDIFF_SERVER_SERVER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "store/pack/pack_format.h"

namespace ovdiff::server {

struct Limits {
  int64_t max_message_bytes = int64_t{32} << 20;
  int64_t max_image_pixels = int64_t{64} << 20;  // 8192 x 8192
  int max_image_side = 16384;                    // pixels
  int max_class_name_characters = 200;
  int max_classes_per_request = 1000;
  int max_classes_per_vocabulary = 10000;
  int max_queued_segments = 256;
  int64_t max_bytes_in_flight = int64_t{512} << 20;
  int max_queued_jobs = 256;
  // A class pack on its way in lies on disk (spool_folder) until it is done.
  int64_t max_pack_bytes = int64_t{4} << 30;
  int max_imports = 2;
  int max_exports = 8;
  int max_streams = 64;
  int max_stream_in_flight = 8;  // Frames; also the default of a stream.
  int max_pictures = 256;
  int max_steps = 1000;
  absl::Duration max_segment_seconds = absl::Seconds(60);
  absl::Duration job_retention = absl::Hours(24 * 7);
};

struct ServerOptions {
  // host:port; port 0 takes a free one. Loopback unless the operator says
  // otherwise: this port has neither TLS nor authentication yet, and Debian's
  // gRPC 1.51 has known denial-of-service holes (serving.md finding 1).
  std::string listen_address = "127.0.0.1:50051";
  std::string admin_address = "127.0.0.1:9464";
  int segment_threads = 16;  // Decode, wait for the device, encode.
  int control_threads = 4;   // Everything that reads the store.
  int build_threads = 1;     // Jobs built at once.
  int64_t prototype_cache_bytes = int64_t{1} << 30;
  // Where BackUpStore puts backups; empty: it is refused. Outside the store.
  std::string backup_folder;
  int keep_backups = 0;  // Older ones go once a new one is whole; 0: none goes.
  // Where class packs lie while they come in, as files without a name.
  std::string spool_folder = "/tmp";
  // What that folder's volume must keep free.
  int64_t spool_min_free_bytes = int64_t{256} << 20;
  // If there are any, a class pack must be signed by one of them.
  std::vector<store::Ed25519PublicKey> trusted_pack_keys;
  // Between "not ready" and the end of serving, for balancers to notice; 5 s
  // suits Kubernetes, 0 a terminal.
  absl::Duration drain_delay = absl::ZeroDuration();
  // How long running calls may take after that.
  absl::Duration drain_timeout = absl::Seconds(30);
  Limits limits;
};

// kInvalidArgument naming the first number that is out of range.
absl::Status Validate(const ServerOptions& options);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SERVER_OPTIONS_H_
