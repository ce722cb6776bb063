// The pieces of a class pack that are not records of the store, as bytes and
// back. Layout: store/pack/FORMAT.md. Pure functions; Decode… trust no byte:
//   kDataLoss            damaged
//   kFailedPrecondition  of a newer format (both numbers told)
#ifndef OVDIFF_STORE_PACK_PACK_FORMAT_H_
#define OVDIFF_STORE_PACK_PACK_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/sha256.h"
#include "store/envelope.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// The format this program writes, and the newest it reads.
inline constexpr uint16_t kPackFormat = 1;
inline constexpr size_t kPackPreambleBytes = 16;

// Record types of packs; the store's own numbers end at 63. Values are in
// files: do not change or reuse them.
inline constexpr auto kPackManifestRecord = static_cast<RecordType>(64);
inline constexpr auto kPackEndRecord = static_cast<RecordType>(65);
inline constexpr auto kPackSignatureRecord = static_cast<RecordType>(66);

struct PackedClass {
  std::string name;
  std::string prompt;
  ClassKind kind = ClassKind::kThing;
  uint16_t label = 0;  // In the vocabulary it comes from; rules the colour.
  ContentKey prototype_key{};
  ContentKey support_key{};
  bool has_pictures = false;  // The pack holds its support set.
};

struct PackManifest {
  std::string vocabulary;  // Where the classes come from, without its project.
  int64_t version = 0;
  absl::Time create_time;      // Of that version.
  std::string program;         // What wrote the pack.
  std::string bundle;          // Name of the models that made its vectors.
  std::string bundle_license;  // Of their weights.
  std::string license;         // Of the pack, as its giver says; may be empty.
  std::vector<PackedClass> classes;  // By label, ascending; at least one.
};

struct PackEnd {
  uint64_t num_records = 0;  // Before this one.
  uint64_t num_bytes = 0;    // Before this one.
  Sha256Digest digest{};     // SHA-256 of them: the pack's own name.
};

// Ed25519 (RFC 8032) over PackSignatureMessage().
using Ed25519PublicKey = std::array<uint8_t, 32>;
struct PackSignature {
  Ed25519PublicKey public_key{};
  std::array<uint8_t, 64> signature{};
};

std::string EncodePackPreamble();
absl::Status CheckPackPreamble(absl::string_view bytes);

std::string EncodePackManifest(const PackManifest& manifest);
// Also refuses names, prompts and labels that no vocabulary could have.
absl::StatusOr<PackManifest> DecodePackManifest(absl::string_view record);

std::string EncodePackEnd(const PackEnd& end);
absl::StatusOr<PackEnd> DecodePackEnd(absl::string_view record);

std::string EncodePackSignature(const PackSignature& signature);
absl::StatusOr<PackSignature> DecodePackSignature(absl::string_view record);

// What is signed: a sentence of ours, so that the signature says nothing else,
// and the pack's digest.
std::string PackSignatureMessage(const Sha256Digest& digest);
// Whether the signature is its key's and for this pack. Says nothing of whose
// key it is.
bool SignatureHolds(const PackSignature& signature, const Sha256Digest& digest);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PACK_PACK_FORMAT_H_
