// Prototype sets and support sets; the others are in record_codec.cc.
#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "store/record_codec.h"
#include "store/validation.h"

namespace ovdiff::store {
namespace {

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("malformed ", what, " record"));
}

void PutVectors(const PrototypeVectors& vectors, PayloadType type,
                ByteWriter& writer) {
  writer.U32(static_cast<uint32_t>(vectors.count()));
  for (const PrototypeLevel level : vectors.levels) {
    writer.U8(static_cast<uint8_t>(level));
  }
  writer.I32s(vectors.source_pictures);
  writer.Floats(vectors.values, type);
}

// Levels are checked by ValidatePrototypeRecord().
PrototypeVectors TakeVectors(int32_t dim, PayloadType type,
                             ByteReader& reader) {
  PrototypeVectors vectors;
  // A vector takes a level, a source picture and at least one value.
  const uint32_t count = reader.Count(1 + 4 + BytesOf(type));
  vectors.levels.reserve(count);
  for (const char level : reader.Raw(count)) {
    vectors.levels.push_back(static_cast<PrototypeLevel>(level));
  }
  vectors.source_pictures = reader.I32s(count);
  vectors.values =
      reader.Floats(uint64_t{count} * static_cast<uint32_t>(dim), type);
  return vectors;
}

// Whether format 1 has no place for something of `record`.
bool NeedsMaskedFormat(const SupportRecord& record) {
  return std::any_of(record.pictures.begin(), record.pictures.end(),
                     [](const SupportPictureRecord& picture) {
                       return !picture.mask_png.empty() ||
                              picture.negative != 0;
                     });
}

size_t EstimateBytes(const PrototypeRecord& record) {
  size_t bytes = 1024 + record.prompt.size();
  for (const FeatureSpacePrototypes& space : record.set.spaces) {
    bytes += 64 + space.space.size();
    for (const PrototypeVectors* side :
         {&space.foreground, &space.background}) {
      bytes += side->values.size() * sizeof(float) + side->count() * 5;
    }
  }
  return bytes;
}

}  // namespace

std::string EncodePrototypeRecord(const ContentKey& key,
                                  const PrototypeRecord& record,
                                  PayloadType payload_type) {
  ByteWriter writer;
  writer.Reserve(EstimateBytes(record));
  writer.Digest(key);
  writer.Text(record.prompt);
  writer.Digest(record.generator_fingerprint);
  writer.Digest(record.encoder_fingerprint);
  writer.I64(absl::ToUnixNanos(record.create_time));
  writer.U32(static_cast<uint32_t>(record.set.spaces.size()));
  for (const FeatureSpacePrototypes& space : record.set.spaces) {
    writer.Text(space.space);
    writer.U32(static_cast<uint32_t>(space.dim));
    PutVectors(space.foreground, payload_type, writer);
    PutVectors(space.background, payload_type, writer);
  }
  return SealEnvelope(RecordType::kPrototypeSet, payload_type, writer.Take());
}

absl::StatusOr<PrototypeRecord> DecodePrototypeRecord(const ContentKey& key,
                                                      absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kPrototypeSet, bytes));
  ByteReader reader(envelope.payload);
  if (reader.Digest() != key) {
    return absl::DataLossError("the record belongs to another prototype key");
  }
  PrototypeRecord record;
  record.prompt = reader.Text();
  record.generator_fingerprint = reader.Digest();
  record.encoder_fingerprint = reader.Digest();
  record.create_time = absl::FromUnixNanos(reader.I64());
  // A space takes its name's length, its dim and two counts.
  const uint32_t num_spaces = reader.Count(16);
  for (uint32_t i = 0; i < num_spaces && reader.ok(); ++i) {
    FeatureSpacePrototypes space;
    space.space = reader.Text();
    space.dim = static_cast<int32_t>(reader.U32());
    if (space.dim < 1 || space.dim > kMaxDim) {
      return Malformed("prototype");
    }
    space.foreground = TakeVectors(space.dim, envelope.payload_type, reader);
    space.background = TakeVectors(space.dim, envelope.payload_type, reader);
    record.set.spaces.push_back(std::move(space));
  }
  if (!reader.AtEnd() || !ValidatePrototypeRecord(record).ok()) {
    return Malformed("prototype");
  }
  return record;
}

std::string EncodeSupportRecord(const ContentKey& key,
                                const SupportRecord& record,
                                PayloadType payload_type) {
  const bool is_masked = NeedsMaskedFormat(record);
  ByteWriter writer;
  writer.Digest(key);
  writer.Text(record.prompt);
  writer.Digest(record.generator_fingerprint);
  writer.I64(absl::ToUnixNanos(record.create_time));
  writer.U32(static_cast<uint32_t>(record.pictures.size()));
  for (const SupportPictureRecord& picture : record.pictures) {
    writer.Text(picture.png);
    writer.U32(static_cast<uint32_t>(picture.attribution_width));
    writer.U32(static_cast<uint32_t>(picture.attribution_height));
    writer.Floats(picture.attribution, payload_type);
    if (is_masked) {
      writer.Text(picture.mask_png);
      writer.U8(picture.negative);
    }
  }
  return SealEnvelope(RecordType::kSupportSet, payload_type, writer.Take(),
                      is_masked ? kMaskedSupportFormat : kFormatVersion);
}

absl::StatusOr<SupportRecord> DecodeSupportRecord(const ContentKey& key,
                                                  absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(RecordType::kSupportSet, bytes));
  ByteReader reader(envelope.payload);
  if (reader.Digest() != key) {
    return absl::DataLossError("the record belongs to another support key");
  }
  SupportRecord record;
  record.prompt = reader.Text();
  record.generator_fingerprint = reader.Digest();
  record.create_time = absl::FromUnixNanos(reader.I64());
  const bool is_masked = envelope.format_version >= kMaskedSupportFormat;
  // A picture takes its file's length, a width and a height; with masks, the
  // length of that file and a number, too.
  const uint32_t num_pictures = reader.Count(is_masked ? 17 : 12);
  for (uint32_t i = 0; i < num_pictures && reader.ok(); ++i) {
    SupportPictureRecord picture;
    picture.png = reader.Text();
    const uint32_t width = reader.U32();
    const uint32_t height = reader.U32();
    if (width > kMaxAttributionSide || height > kMaxAttributionSide) {
      return Malformed("support");
    }
    picture.attribution_width = static_cast<int32_t>(width);
    picture.attribution_height = static_cast<int32_t>(height);
    picture.attribution =
        reader.Floats(uint64_t{width} * height, envelope.payload_type);
    if (is_masked) {
      picture.mask_png = reader.Text();
      picture.negative = reader.U8();
    }
    record.pictures.push_back(std::move(picture));
  }
  // A record has one form: a masked one holds what needs that format.
  if (!reader.AtEnd() || !ValidateSupportRecord(record).ok() ||
      is_masked != NeedsMaskedFormat(record)) {
    return Malformed("support");
  }
  return record;
}

}  // namespace ovdiff::store
