// SHA-256 (OpenSSL's), for content keys, fingerprints and record envelopes.
#ifndef OVDIFF_ENGINE_BASE_SHA256_H_
#define OVDIFF_ENGINE_BASE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff {

using Sha256Digest = std::array<uint8_t, 32>;

// Incremental hash. Thread-compatible. Use once: Update()… then Finish().
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);
  // Appends length (u64 little-endian) and bytes, so that fields cannot run
  // into each other: ("ab", "c") and ("a", "bc") hash differently.
  void UpdateField(absl::string_view bytes);
  Sha256Digest Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Sha256Digest Sha256Of(absl::string_view bytes);

// Hash of a file's bytes. kNotFound or kUnavailable naming the path.
absl::StatusOr<Sha256Digest> Sha256OfFile(const std::string& path);

// 64 lower-case hexadecimal digits.
std::string ToHex(const Sha256Digest& digest);
// kInvalidArgument unless `hex` is 64 hexadecimal digits.
absl::StatusOr<Sha256Digest> Sha256FromHex(absl::string_view hex);

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_SHA256_H_
