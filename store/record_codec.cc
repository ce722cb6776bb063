// The small records; prototype and support sets are in content_codec.cc.
#include "store/record_codec.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ovdiff::store {
namespace {

// Bytes of a ClassEntry with empty texts.
constexpr size_t kMinClassBytes = 4 + 4 + 1 + 2 + 32 + 32 + 8;

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("malformed ", what, " record"));
}

absl::Status Misplaced(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the ", what, " record belongs to another key"));
}

void PutId(const VocabularyId& id, ByteWriter& writer) {
  writer.Text(id.project);
  writer.Text(id.name);
}

bool TakeId(const VocabularyId& expected, ByteReader& reader) {
  const std::string project = reader.Text();
  const std::string name = reader.Text();
  return project == expected.project && name == expected.name;
}

void PutClass(const ClassEntry& entry, ByteWriter& writer) {
  writer.Text(entry.name);
  writer.Text(entry.prompt);
  writer.U8(static_cast<uint8_t>(entry.kind));
  writer.U16(entry.label);
  writer.Digest(entry.prototype_key);
  writer.Digest(entry.support_key);
  writer.I64(absl::ToUnixNanos(entry.add_time));
}

// Whether an entry that keeps the rules could be read: a known kind, and a
// label above `previous_label`.
bool TakeClass(uint16_t previous_label, ByteReader& reader, ClassEntry& entry) {
  entry.name = reader.Text();
  entry.prompt = reader.Text();
  const uint8_t kind = reader.U8();
  entry.kind = static_cast<ClassKind>(kind);
  entry.label = reader.U16();
  entry.prototype_key = reader.Digest();
  entry.support_key = reader.Digest();
  entry.add_time = absl::FromUnixNanos(reader.I64());
  return reader.ok() && kind <= static_cast<uint8_t>(ClassKind::kStuff) &&
         entry.label > previous_label;
}

}  // namespace

std::string EncodeStoreFormat(const StoreFormat& format) {
  ByteWriter writer;
  writer.U32(format.format_version);
  writer.U32(format.min_reader_version);
  writer.I64(absl::ToUnixNanos(format.create_time));
  return SealEnvelope(RecordType::kStoreFormat, PayloadType::kNone,
                      writer.Take());
}

absl::StatusOr<StoreFormat> DecodeStoreFormat(absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kStoreFormat, bytes));
  ByteReader reader(envelope.payload);
  StoreFormat format;
  format.format_version = reader.U32();
  format.min_reader_version = reader.U32();
  format.create_time = absl::FromUnixNanos(reader.I64());
  if (!reader.AtEnd() || format.format_version == 0 ||
      format.min_reader_version == 0) {
    return Malformed("store format");
  }
  return format;
}

std::string EncodeMarkNote(const MarkNote& note) {
  ByteWriter writer;
  writer.I64(absl::ToUnixNanos(note.create_time));
  return SealEnvelope(RecordType::kMarkNote, PayloadType::kNone, writer.Take());
}

absl::StatusOr<MarkNote> DecodeMarkNote(absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kMarkNote, bytes));
  ByteReader reader(envelope.payload);
  MarkNote note;
  note.create_time = absl::FromUnixNanos(reader.I64());
  if (!reader.AtEnd()) {
    return Malformed("mark note");
  }
  return note;
}

std::string EncodeContentEntry(const ContentEntry& entry) {
  ByteWriter writer;
  writer.Digest(entry.key);
  writer.U64(entry.record_bytes);
  writer.I64(absl::ToUnixNanos(entry.create_time));
  return SealEnvelope(RecordType::kContentEntry, PayloadType::kNone,
                      writer.Take());
}

absl::StatusOr<ContentEntry> DecodeContentEntry(const ContentKey& key,
                                                absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kContentEntry, bytes));
  ByteReader reader(envelope.payload);
  ContentEntry entry;
  entry.key = reader.Digest();
  entry.record_bytes = reader.U64();
  entry.create_time = absl::FromUnixNanos(reader.I64());
  if (!reader.AtEnd()) {
    return Malformed("content entry");
  }
  if (entry.key != key) {
    return Misplaced("content entry");
  }
  return entry;
}

std::string EncodeVocabularyHead(const VocabularyHead& head) {
  ByteWriter writer;
  PutId(head.id, writer);
  writer.I64(head.version);
  writer.I64(absl::ToUnixNanos(head.create_time));
  writer.U32(head.num_classes);
  writer.U16(head.last_label);
  return SealEnvelope(RecordType::kVocabularyHead, PayloadType::kNone,
                      writer.Take());
}

absl::StatusOr<VocabularyHead> DecodeVocabularyHead(const VocabularyId& id,
                                                    absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kVocabularyHead, bytes));
  ByteReader reader(envelope.payload);
  VocabularyHead head;
  head.id = id;
  if (!TakeId(id, reader)) {
    return Misplaced("vocabulary head");
  }
  head.version = reader.I64();
  head.create_time = absl::FromUnixNanos(reader.I64());
  head.num_classes = reader.U32();
  head.last_label = reader.U16();
  if (!reader.AtEnd() || head.version < 1 ||
      head.num_classes > head.last_label) {
    return Malformed("vocabulary head");
  }
  return head;
}

std::string EncodeVersionRecord(const VersionRecord& record) {
  ByteWriter writer;
  PutId(record.id, writer);
  writer.I64(record.version);
  writer.I64(record.base_version);
  writer.I64(absl::ToUnixNanos(record.create_time));
  writer.U32(static_cast<uint32_t>(record.removed_labels.size()));
  for (const uint16_t label : record.removed_labels) {
    writer.U16(label);
  }
  writer.U32(static_cast<uint32_t>(record.classes.size()));
  for (const ClassEntry& entry : record.classes) {
    PutClass(entry, writer);
  }
  return SealEnvelope(RecordType::kVocabularyVersion, PayloadType::kNone,
                      writer.Take());
}

absl::StatusOr<VersionRecord> DecodeVersionRecord(const VocabularyId& id,
                                                  int64_t version,
                                                  absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kVocabularyVersion, bytes));
  ByteReader reader(envelope.payload);
  VersionRecord record;
  record.id = id;
  if (!TakeId(id, reader)) {
    return Misplaced("vocabulary version");
  }
  record.version = reader.I64();
  if (record.version != version) {
    return Misplaced("vocabulary version");
  }
  record.base_version = reader.I64();
  record.create_time = absl::FromUnixNanos(reader.I64());
  const uint32_t num_removed = reader.Count(2);
  for (uint32_t i = 0; i < num_removed; ++i) {
    record.removed_labels.push_back(reader.U16());
  }
  const uint32_t num_classes = reader.Count(kMinClassBytes);
  uint16_t previous_label = 0;
  for (uint32_t i = 0; i < num_classes; ++i) {
    ClassEntry entry;
    if (!TakeClass(previous_label, reader, entry)) {
      return Malformed("vocabulary version");
    }
    previous_label = entry.label;
    record.classes.push_back(std::move(entry));
  }
  if (!reader.AtEnd() || record.base_version < 0 ||
      record.base_version >= record.version) {
    return Malformed("vocabulary version");
  }
  return record;
}

std::string EncodeLabel(const VocabularyId& id, absl::string_view class_name,
                        uint16_t label) {
  ByteWriter writer;
  PutId(id, writer);
  writer.Text(class_name);
  writer.U16(label);
  return SealEnvelope(RecordType::kLabel, PayloadType::kNone, writer.Take());
}

absl::StatusOr<uint16_t> DecodeLabel(const VocabularyId& id,
                                     absl::string_view class_name,
                                     absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kLabel, bytes));
  ByteReader reader(envelope.payload);
  if (!TakeId(id, reader) || reader.Text() != class_name) {
    return Misplaced("label");
  }
  const uint16_t label = reader.U16();
  if (!reader.AtEnd() || label == 0) {
    return Malformed("label");
  }
  return label;
}

std::string EncodeJob(absl::string_view job_id, absl::string_view job) {
  ByteWriter writer;
  writer.Text(job_id);
  writer.Text(job);
  return SealEnvelope(RecordType::kJob, PayloadType::kNone, writer.Take());
}

absl::StatusOr<std::string> DecodeJob(absl::string_view job_id,
                                      absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kJob, bytes));
  ByteReader reader(envelope.payload);
  if (reader.Text() != job_id) {
    return Misplaced("job");
  }
  std::string job = reader.Text();
  if (!reader.AtEnd()) {
    return Malformed("job");
  }
  return job;
}

}  // namespace ovdiff::store
