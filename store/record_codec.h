// Records to bytes and back (store/FORMAT.md, "Records"). Pure functions.
//
// Encode… give a sealed envelope. Decode… trust no byte: they fail with
//   kDataLoss            damaged, or the record of another key
//   kFailedPrecondition  of a newer format
// Each record carries the key it belongs to, so that a value that turns up in
// the wrong place is noticed.
#ifndef OVDIFF_STORE_RECORD_CODEC_H_
#define OVDIFF_STORE_RECORD_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "store/bytes.h"
#include "store/envelope.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// Of the whole database; table "sys".
struct StoreFormat {
  uint32_t format_version = kFormatVersion;
  // The oldest program that may read it.
  uint32_t min_reader_version = kFormatVersion;
  absl::Time create_time;
};

// Table "sys": that the database keeps a file ACKED.
struct MarkNote {
  absl::Time create_time;
};

// What table "meta" knows of a prototype or support set without reading it.
struct ContentEntry {
  ContentKey key{};
  uint64_t record_bytes = 0;  // Of the sealed record.
  absl::Time create_time;
};

struct VocabularyHead {
  VocabularyId id;
  int64_t version = 0;
  absl::Time create_time;  // Of the head version.
  uint32_t num_classes = 0;
  uint16_t last_label = 0;  // The highest ever given.
};

// A version, whole (base_version 0) or as what differs from a whole one:
// the base's classes without `removed_labels`, then `classes` put in by label.
struct VersionRecord {
  VocabularyId id;
  int64_t version = 0;
  int64_t base_version = 0;
  absl::Time create_time;
  std::vector<uint16_t> removed_labels;  // Ascending.
  std::vector<ClassEntry> classes;       // Ascending by label.
};

// `payload_type`: kFloat32 or kFloat16. REQUIRES: ValidatePrototypeRecord().
std::string EncodePrototypeRecord(const ContentKey& key,
                                  const PrototypeRecord& record,
                                  PayloadType payload_type);
absl::StatusOr<PrototypeRecord> DecodePrototypeRecord(const ContentKey& key,
                                                      absl::string_view bytes);

// REQUIRES: ValidateSupportRecord().
std::string EncodeSupportRecord(const ContentKey& key,
                                const SupportRecord& record,
                                PayloadType payload_type);
absl::StatusOr<SupportRecord> DecodeSupportRecord(const ContentKey& key,
                                                  absl::string_view bytes);

std::string EncodeStoreFormat(const StoreFormat& format);
absl::StatusOr<StoreFormat> DecodeStoreFormat(absl::string_view bytes);

std::string EncodeMarkNote(const MarkNote& note);
absl::StatusOr<MarkNote> DecodeMarkNote(absl::string_view bytes);

std::string EncodeContentEntry(const ContentEntry& entry);
absl::StatusOr<ContentEntry> DecodeContentEntry(const ContentKey& key,
                                                absl::string_view bytes);

std::string EncodeVocabularyHead(const VocabularyHead& head);
absl::StatusOr<VocabularyHead> DecodeVocabularyHead(const VocabularyId& id,
                                                    absl::string_view bytes);

std::string EncodeVersionRecord(const VersionRecord& record);
absl::StatusOr<VersionRecord> DecodeVersionRecord(const VocabularyId& id,
                                                  int64_t version,
                                                  absl::string_view bytes);

// Labels outlive their classes.
std::string EncodeLabel(const VocabularyId& id, absl::string_view class_name,
                        uint16_t label);
absl::StatusOr<uint16_t> DecodeLabel(const VocabularyId& id,
                                     absl::string_view class_name,
                                     absl::string_view bytes);

std::string EncodeJob(absl::string_view job_id, absl::string_view job);
absl::StatusOr<std::string> DecodeJob(absl::string_view job_id,
                                      absl::string_view bytes);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_RECORD_CODEC_H_
