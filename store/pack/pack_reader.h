// PackReader: a class pack's records in their order, each checked, and at the
// end the pack as a whole.
#ifndef OVDIFF_STORE_PACK_PACK_READER_H_
#define OVDIFF_STORE_PACK_PACK_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/pack/pack_format.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// Reads at most `size` bytes into `buffer`; 0: the end.
using PackSource =
    std::function<absl::StatusOr<size_t>(char* buffer, size_t size)>;

// Source of bytes in memory, which must outlive it.
PackSource SourceOf(absl::string_view bytes);

// A record and the key that it was found to belong to.
struct PackItem {
  ContentKey key{};
  std::variant<PrototypeRecord, SupportRecord> record;
};

// Holds one record at a time, and never more than the source gives.
// Thread-compatible. Everything may fail with
//   kDataLoss            damaged, cut short, or something follows the end
//   kFailedPrecondition  of a newer format
//   the source's errors
class PackReader {
 public:
  // Reads preamble and manifest.
  static absl::StatusOr<std::unique_ptr<PackReader>> Open(PackSource source);

  const PackManifest& manifest() const { return manifest_; }

  // The records that the manifest announces, each once: for each class its
  // prototype set, then its support set, unless an earlier class had them.
  // nullopt: the end, and the whole file is as its writer made it.
  absl::StatusOr<std::optional<PackItem>> Next();

  // After Next() gave nullopt.
  const Sha256Digest& digest() const { return digest_; }
  // Holds, if there is one. Whose key it is, the caller must ask.
  const std::optional<PackSignature>& signature() const { return signature_; }
  uint64_t num_bytes() const { return num_bytes_; }

 private:
  struct Announced {
    size_t class_index = 0;
    bool is_support = false;
  };

  explicit PackReader(PackSource source) : source_(std::move(source)) {}

  absl::Status ReadBeginning();
  absl::Status Announce();
  absl::Status ReadEnd();
  absl::StatusOr<PackItem> Decode(const Announced& announced,
                                  const std::string& bytes) const;
  // Appends up to `size` bytes to `bytes`; fewer at the end of the source.
  absl::Status Append(uint64_t size, std::string& bytes);
  // A whole record. Empty at the end of the source.
  absl::StatusOr<std::string> ReadRecord();

  PackSource source_;
  PackManifest manifest_;
  std::vector<Announced> announced_;
  size_t next_ = 0;
  Sha256 hash_;
  uint64_t num_bytes_ = 0;
  Sha256Digest digest_{};
  std::optional<PackSignature> signature_;
};

// Reads all of a pack. `inspect` sees each record and may refuse it.
struct VerifiedPack {
  PackManifest manifest;
  // What made the set of each of the manifest's classes, in their order.
  struct Fingerprints {
    Sha256Digest generator{};
    Sha256Digest encoder{};
  };
  std::vector<Fingerprints> fingerprints;
  Sha256Digest digest{};
  std::optional<Ed25519PublicKey> signed_by;
  uint64_t num_bytes = 0;
};
absl::StatusOr<VerifiedPack> VerifyPack(
    PackSource source,
    const std::function<absl::Status(const PackItem&)>& inspect);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PACK_PACK_READER_H_
