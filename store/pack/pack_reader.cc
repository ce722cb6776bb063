#include "store/pack/pack_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "store/bytes.h"
#include "store/record_codec.h"
#include "store/status_context.h"

namespace ovdiff::store {
namespace {

// A length that lies costs no more memory than the bytes that follow it.
constexpr uint64_t kReadBytes = 1 << 20;
constexpr size_t kEndRecordBytes = kEnvelopeBytes + 8 + 8 + 32;
constexpr size_t kSignatureRecordBytes = kEnvelopeBytes + 1 + 32 + 64;

absl::Status CutShort(uint64_t num_bytes) {
  return absl::DataLossError(absl::StrCat("the pack ends after ", num_bytes,
                                          " bytes, within a record"));
}

uint64_t PayloadBytes(absl::string_view envelope) {
  // Offset 16: store/FORMAT.md, "Envelope".
  ByteReader reader(envelope.substr(16, 8));
  return reader.U64();
}

}  // namespace

PackSource SourceOf(absl::string_view bytes) {
  return [bytes](char* buffer, size_t size) mutable -> absl::StatusOr<size_t> {
    const size_t taken = std::min(size, bytes.size());
    std::memcpy(buffer, bytes.data(), taken);
    bytes.remove_prefix(taken);
    return taken;
  };
}

absl::StatusOr<std::unique_ptr<PackReader>> PackReader::Open(
    PackSource source) {
  std::unique_ptr<PackReader> reader(new PackReader(std::move(source)));
  OVDIFF_RETURN_IF_ERROR(reader->ReadBeginning());
  return reader;
}

absl::Status PackReader::Append(uint64_t size, std::string& bytes) {
  while (size > 0) {
    const size_t begin = bytes.size();
    const size_t wanted = static_cast<size_t>(std::min(size, kReadBytes));
    bytes.resize(begin + wanted);
    auto taken = source_(bytes.data() + begin, wanted);
    bytes.resize(begin + (taken.ok() ? *taken : 0));
    OVDIFF_RETURN_IF_ERROR(taken.status());
    if (*taken == 0) {
      break;
    }
    size -= *taken;
    num_bytes_ += *taken;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PackReader::ReadRecord() {
  std::string bytes;
  OVDIFF_RETURN_IF_ERROR(Append(kEnvelopeBytes, bytes));
  if (bytes.empty()) {
    return bytes;
  }
  if (bytes.size() < kEnvelopeBytes) {
    return CutShort(num_bytes_);
  }
  const uint64_t payload_bytes = PayloadBytes(bytes);
  if (payload_bytes > kMaxPayloadBytes) {
    return absl::DataLossError(absl::StrCat("a record of the pack says ",
                                            payload_bytes, " bytes; at most ",
                                            kMaxPayloadBytes, " are allowed"));
  }
  OVDIFF_RETURN_IF_ERROR(Append(payload_bytes, bytes));
  if (bytes.size() - kEnvelopeBytes < payload_bytes) {
    return CutShort(num_bytes_);
  }
  return bytes;
}

absl::Status PackReader::ReadBeginning() {
  std::string preamble;
  OVDIFF_RETURN_IF_ERROR(Append(kPackPreambleBytes, preamble));
  OVDIFF_RETURN_IF_ERROR(CheckPackPreamble(preamble));
  OVDIFF_ASSIGN_OR_RETURN(const std::string record, ReadRecord());
  if (record.empty()) {
    return CutShort(num_bytes_);
  }
  OVDIFF_ASSIGN_OR_RETURN(manifest_, DecodePackManifest(record));
  hash_.Update(preamble);
  hash_.Update(record);
  return Announce();
}

absl::Status PackReader::Announce() {
  absl::flat_hash_map<ContentKey, size_t> sets;  // To the first class of each.
  absl::flat_hash_set<ContentKey> supports;
  for (size_t i = 0; i < manifest_.classes.size(); ++i) {
    const PackedClass& entry = manifest_.classes[i];
    const auto [first, is_new] = sets.emplace(entry.prototype_key, i);
    const PackedClass& same = manifest_.classes[first->second];
    if (same.prompt != entry.prompt || same.support_key != entry.support_key) {
      return absl::DataLossError(absl::StrCat(
          "classes '", same.name, "' and '", entry.name,
          "' of the pack share a set but neither prompt nor pictures"));
    }
    if (is_new) {
      announced_.push_back({.class_index = i, .is_support = false});
    }
    if (entry.has_pictures && supports.insert(entry.support_key).second) {
      announced_.push_back({.class_index = i, .is_support = true});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<PackItem>> PackReader::Next() {
  if (next_ == announced_.size()) {
    OVDIFF_RETURN_IF_ERROR(ReadEnd());
    return std::nullopt;
  }
  const Announced& announced = announced_[next_++];
  OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, ReadRecord());
  if (bytes.empty()) {
    return CutShort(num_bytes_);
  }
  hash_.Update(bytes);
  auto item = Decode(announced, bytes);
  if (!item.ok()) {
    return WithContext(
        absl::StrCat("class '", manifest_.classes[announced.class_index].name,
                     "'", announced.is_support ? ", pictures" : ""),
        item.status());
  }
  return std::optional<PackItem>(*std::move(item));
}

// The keys of a pack are recomputed, not believed: a set under a key that is
// not its own would be served to whoever asks for that key.
absl::StatusOr<PackItem> PackReader::Decode(const Announced& announced,
                                            const std::string& bytes) const {
  const PackedClass& entry = manifest_.classes[announced.class_index];
  constexpr char kOtherKey[] =
      "the record's prompt and fingerprints do not make its key";
  if (announced.is_support) {
    OVDIFF_ASSIGN_OR_RETURN(SupportRecord record,
                            DecodeSupportRecord(entry.support_key, bytes));
    if (SupportKey(record.prompt, record.generator_fingerprint) !=
        entry.support_key) {
      return absl::DataLossError(kOtherKey);
    }
    return PackItem{.key = entry.support_key, .record = std::move(record)};
  }
  OVDIFF_ASSIGN_OR_RETURN(PrototypeRecord record,
                          DecodePrototypeRecord(entry.prototype_key, bytes));
  if (PrototypeKey(record.prompt, record.generator_fingerprint,
                   record.encoder_fingerprint) != entry.prototype_key ||
      record.prompt != entry.prompt ||
      SupportKey(record.prompt, record.generator_fingerprint) !=
          entry.support_key) {
    return absl::DataLossError(kOtherKey);
  }
  return PackItem{.key = entry.prototype_key, .record = std::move(record)};
}

absl::Status PackReader::ReadEnd() {
  const uint64_t bytes_before = num_bytes_;
  OVDIFF_ASSIGN_OR_RETURN(const std::string record, ReadRecord());
  if (record.empty()) {
    return CutShort(num_bytes_);
  }
  OVDIFF_ASSIGN_OR_RETURN(const PackEnd end, DecodePackEnd(record));
  digest_ = hash_.Finish();
  if (end.digest != digest_ || end.num_bytes != bytes_before ||
      end.num_records != 1 + announced_.size()) {
    return absl::DataLossError("the SHA-256 of the whole pack does not match");
  }
  std::string rest;
  OVDIFF_RETURN_IF_ERROR(Append(kSignatureRecordBytes + 1, rest));
  if (rest.empty()) {
    return absl::OkStatus();
  }
  if (rest.size() != kSignatureRecordBytes) {
    return absl::DataLossError(
        absl::StrCat("something other than a signature follows the end of the "
                     "pack, which is at ",
                     bytes_before + kEndRecordBytes, " bytes"));
  }
  OVDIFF_ASSIGN_OR_RETURN(signature_, DecodePackSignature(rest));
  if (!SignatureHolds(*signature_, digest_)) {
    return absl::DataLossError("the pack's signature does not hold");
  }
  return absl::OkStatus();
}

absl::StatusOr<VerifiedPack> VerifyPack(
    PackSource source,
    const std::function<absl::Status(const PackItem&)>& inspect) {
  OVDIFF_ASSIGN_OR_RETURN(const auto reader,
                          PackReader::Open(std::move(source)));
  absl::flat_hash_map<ContentKey, VerifiedPack::Fingerprints> made_by;
  while (true) {
    OVDIFF_ASSIGN_OR_RETURN(const std::optional<PackItem> item, reader->Next());
    if (!item.has_value()) {
      break;
    }
    if (const auto* set = std::get_if<PrototypeRecord>(&item->record)) {
      made_by[item->key] = {set->generator_fingerprint,
                            set->encoder_fingerprint};
    }
    OVDIFF_RETURN_IF_ERROR(inspect(*item));
  }
  VerifiedPack pack;
  pack.manifest = reader->manifest();
  for (const PackedClass& entry : pack.manifest.classes) {
    pack.fingerprints.push_back(made_by[entry.prototype_key]);
  }
  pack.digest = reader->digest();
  if (reader->signature().has_value()) {
    pack.signed_by = reader->signature()->public_key;
  }
  pack.num_bytes = reader->num_bytes();
  return pack;
}

}  // namespace ovdiff::store
