// PackSpool: a class pack on its way in, on disk and not in memory.
#ifndef OVDIFF_SERVER_PACK_SPOOL_H_
#define OVDIFF_SERVER_PACK_SPOOL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/pack/pack_reader.h"

namespace ovdiff::server {

// A file without a name: it is gone with this object, and with the process.
// Thread-compatible; sources may be read at once.
class PackSpool {
 public:
  struct Options {
    std::string folder;
    int64_t max_bytes = 0;
    // Append() refuses where it would leave the volume less room than this.
    int64_t min_free_bytes = 0;
  };

  // kUnavailable if the folder cannot be written.
  static absl::StatusOr<std::unique_ptr<PackSpool>> Create(
      const Options& options);
  ~PackSpool();
  PackSpool(const PackSpool&) = delete;
  PackSpool& operator=(const PackSpool&) = delete;

  // kResourceExhausted beyond max_bytes or without room; kUnavailable.
  absl::Status Append(absl::string_view bytes);
  // Reads from the beginning. REQUIRES: no more Append(); this outlives it.
  store::PackSource Source() const;

 private:
  PackSpool(const Options& options, int file)
      : options_(options), file_(file) {}

  const Options options_;
  const int file_;
  int64_t size_ = 0;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PACK_SPOOL_H_
