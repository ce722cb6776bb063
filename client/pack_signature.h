// Class packs as the client knows them: bytes that end with their own digest,
// to which a signature can be appended. Layout: store/pack/FORMAT.md.
#ifndef OVDIFF_CLIENT_PACK_SIGNATURE_H_
#define OVDIFF_CLIENT_PACK_SIGNATURE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::client {

// Sees an unsigned pack go by. Thread-compatible.
class PackDigest {
 public:
  PackDigest();
  ~PackDigest();

  void Update(absl::string_view bytes);
  // The pack's digest, 32 bytes, once all of it has gone by. DATA_LOSS unless
  // it is the SHA-256 of what did.
  absl::StatusOr<std::string> Finish();

  int64_t num_bytes() const { return num_bytes_; }

 private:
  struct Hash;
  std::unique_ptr<Hash> hash_;
  std::string tail_;  // The last bytes: the end record is not hashed.
  int64_t num_bytes_ = 0;
};

// The signature record to append to the pack of `digest`, by the Ed25519
// private key in the PEM file `key_path`. INVALID_ARGUMENT naming the file.
absl::StatusOr<std::string> SignPack(const std::string& digest,
                                     const std::string& key_path);

// 32 bytes: the Ed25519 public key in a PEM file, which may hold the private
// key instead. INVALID_ARGUMENT naming the file.
absl::StatusOr<std::string> ReadPublicKey(const std::string& path);

// Lower-case hexadecimal.
std::string Hex(absl::string_view bytes);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_PACK_SIGNATURE_H_
