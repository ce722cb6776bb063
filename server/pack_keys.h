// Keys that sign class packs.
#ifndef OVDIFF_SERVER_PACK_KEYS_H_
#define OVDIFF_SERVER_PACK_KEYS_H_

#include <string>

#include "absl/status/statusor.h"
#include "store/pack/pack_format.h"

namespace ovdiff::server {

// From a PEM file, as `openssl pkey -pubout` writes it. kNotFound or
// kInvalidArgument naming the path.
absl::StatusOr<store::Ed25519PublicKey> ReadPublicKey(const std::string& path);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PACK_KEYS_H_
