#include "client/pack_signature.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ovdiff::client {
namespace {

constexpr size_t kHeaderBytes = 24;
constexpr size_t kDigestBytes = 32;
constexpr size_t kEndRecordBytes = kHeaderBytes + kDigestBytes + 8 + 8 + 32;
constexpr char kSignatureRecord = 66;
constexpr char kEd25519 = 1;
constexpr size_t kPublicKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// An encrypted key asks for its passphrase on the terminal, as openssl does.
Key ReadPem(const std::string& path, bool is_private) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) {
    return Key(nullptr, &EVP_PKEY_free);
  }
  return Key(is_private
                 ? PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr)
                 : PEM_read_PUBKEY(file.get(), nullptr, nullptr, nullptr),
             &EVP_PKEY_free);
}

bool IsEd25519(const Key& key) {
  return key != nullptr && EVP_PKEY_id(key.get()) == EVP_PKEY_ED25519;
}

std::string PublicBytes(const Key& key) {
  std::string bytes(kPublicKeyBytes, '\0');
  size_t size = bytes.size();
  EVP_PKEY_get_raw_public_key(key.get(),
                              reinterpret_cast<uint8_t*>(bytes.data()), &size);
  bytes.resize(size);
  return bytes;
}

std::string Sha256Of(absl::string_view bytes) {
  std::string digest(kDigestBytes, '\0');
  EVP_Digest(bytes.data(), bytes.size(),
             reinterpret_cast<uint8_t*>(digest.data()), nullptr, EVP_sha256(),
             nullptr);
  return digest;
}

// Empty if it cannot.
std::string Sign(const Key& key, const std::string& message) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) !=
          1 ||
      EVP_DigestSign(context.get(),
                     reinterpret_cast<uint8_t*>(signature.data()), &size,
                     reinterpret_cast<const uint8_t*>(message.data()),
                     message.size()) != 1 ||
      size != kSignatureBytes) {
    return "";
  }
  return signature;
}

// The record's envelope and payload: store/FORMAT.md, "Envelope".
std::string Seal(const std::string& payload) {
  std::string header("OVDR\1\0", 6);
  header += kSignatureRecord;
  header.resize(16, '\0');
  for (int shift = 0; shift < 64; shift += 8) {
    header += static_cast<char>(uint64_t{payload.size()} >> shift);
  }
  return header + Sha256Of(header + payload) + payload;
}

}  // namespace

struct PackDigest::Hash {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{
      EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

PackDigest::PackDigest() : hash_(std::make_unique<Hash>()) {
  EVP_DigestInit_ex(hash_->context.get(), EVP_sha256(), nullptr);
}

PackDigest::~PackDigest() = default;

void PackDigest::Update(absl::string_view bytes) {
  num_bytes_ += static_cast<int64_t>(bytes.size());
  tail_.append(bytes.data(), bytes.size());
  if (tail_.size() > kEndRecordBytes) {
    const size_t gone = tail_.size() - kEndRecordBytes;
    EVP_DigestUpdate(hash_->context.get(), tail_.data(), gone);
    tail_.erase(0, gone);
  }
}

absl::StatusOr<std::string> PackDigest::Finish() {
  std::string digest(kDigestBytes, '\0');
  EVP_DigestFinal_ex(hash_->context.get(),
                     reinterpret_cast<uint8_t*>(digest.data()), nullptr);
  if (tail_.size() != kEndRecordBytes ||
      tail_.substr(kEndRecordBytes - kDigestBytes) != digest) {
    return absl::DataLossError(absl::StrCat(
        "what came is not a whole class pack (", num_bytes_, " bytes)"));
  }
  return digest;
}

absl::StatusOr<std::string> SignPack(const std::string& digest,
                                     const std::string& key_path) {
  const Key key = ReadPem(key_path, /*is_private=*/true);
  if (!IsEd25519(key)) {
    return absl::InvalidArgumentError(
        absl::StrCat(key_path,
                     " holds no Ed25519 private key in PEM; `openssl genpkey "
                     "-algorithm ed25519 -out key.pem` makes one"));
  }
  const std::string signature =
      Sign(key, std::string("ovdiff class pack 1\0", 20) + digest);
  if (signature.empty()) {
    return absl::InternalError("OpenSSL did not sign");
  }
  return Seal(kEd25519 + PublicBytes(key) + signature);
}

absl::StatusOr<std::string> ReadPublicKey(const std::string& path) {
  Key key = ReadPem(path, /*is_private=*/false);
  if (key == nullptr) {
    key = ReadPem(path, /*is_private=*/true);
  }
  if (!IsEd25519(key)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " holds no Ed25519 key in PEM; `openssl pkey -in key.pem -pubout "
        "-out key.pub` writes the public one"));
  }
  return PublicBytes(key);
}

std::string Hex(absl::string_view bytes) {
  return absl::BytesToHexString(bytes);
}

}  // namespace ovdiff::client
