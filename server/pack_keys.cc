#include "server/pack_keys.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"

namespace ovdiff::server {

absl::StatusOr<store::Ed25519PublicKey> ReadPublicKey(const std::string& path) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot read the key ", path));
  }
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_PUBKEY(file.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  store::Ed25519PublicKey bytes{};
  size_t size = bytes.size();
  if (key == nullptr || EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key.get(), bytes.data(), &size) != 1 ||
      size != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " holds no Ed25519 public key in PEM; `openssl pkey -in key.pem "
        "-pubout` writes one"));
  }
  return bytes;
}

}  // namespace ovdiff::server
