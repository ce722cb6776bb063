#include "store/envelope.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/sha256.h"

namespace ovdiff::store {
namespace {

constexpr absl::string_view kMagic = "OVDR";
constexpr uint8_t kCodecNone = 0;
constexpr size_t kReservedBytes = 7;

Sha256Digest DigestOf(absl::string_view header, absl::string_view payload) {
  Sha256 hash;
  hash.Update(header);
  hash.Update(payload);
  return hash.Finish();
}

}  // namespace

uint16_t NewestFormat(RecordType type) {
  return type == RecordType::kSupportSet ? kMaskedSupportFormat
                                         : kFormatVersion;
}

std::string SealEnvelope(RecordType type, PayloadType payload_type,
                         absl::string_view payload, uint16_t format_version) {
  ByteWriter header_writer;
  header_writer.Raw(kMagic);
  header_writer.U16(format_version);
  header_writer.U8(static_cast<uint8_t>(type));
  header_writer.U8(static_cast<uint8_t>(payload_type));
  header_writer.U8(kCodecNone);
  header_writer.Raw(std::string(kReservedBytes, '\0'));
  header_writer.U64(payload.size());
  const std::string header = header_writer.Take();
  ByteWriter writer;
  writer.Reserve(kEnvelopeBytes + payload.size());
  writer.Raw(header);
  writer.Digest(DigestOf(header, payload));
  writer.Raw(payload);
  return writer.Take();
}

absl::StatusOr<OpenedEnvelope> OpenEnvelope(RecordType type,
                                            absl::string_view record) {
  if (record.size() < kEnvelopeBytes) {
    return absl::DataLossError(absl::StrCat("the record has ", record.size(),
                                            " bytes, fewer than its envelope"));
  }
  const absl::string_view header = record.substr(0, kEnvelopeHeaderBytes);
  OpenedEnvelope opened;
  opened.payload = record.substr(kEnvelopeBytes);
  ByteReader reader(record.substr(0, kEnvelopeBytes));
  const absl::string_view magic = reader.Raw(kMagic.size());
  opened.format_version = reader.U16();
  const uint8_t found_type = reader.U8();
  const uint8_t payload_type = reader.U8();
  const uint8_t codec = reader.U8();
  reader.Raw(kReservedBytes);
  const uint64_t payload_bytes = reader.U64();
  const Sha256Digest digest = reader.Digest();
  if (magic != kMagic) {
    return absl::DataLossError("the record does not start with OVDR");
  }
  if (payload_bytes != opened.payload.size()) {
    return absl::DataLossError(absl::StrCat("the record says ", payload_bytes,
                                            " payload bytes but has ",
                                            opened.payload.size()));
  }
  if (digest != DigestOf(header, opened.payload)) {
    return absl::DataLossError("the SHA-256 of the record does not match");
  }
  // From here on the bytes are what somebody wrote.
  if (opened.format_version > NewestFormat(type)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the record is of format ", opened.format_version,
                     "; this program reads up to format ", NewestFormat(type),
                     ": use a newer one"));
  }
  if (opened.format_version == 0 || codec != kCodecNone ||
      payload_type > static_cast<uint8_t>(PayloadType::kFloat16) ||
      found_type != static_cast<uint8_t>(type)) {
    return absl::DataLossError(absl::StrCat(
        "not a record of this kind: format ", opened.format_version, ", type ",
        found_type, " (expected ", static_cast<int>(type), "), payload type ",
        payload_type, ", codec ", codec));
  }
  opened.payload_type = static_cast<PayloadType>(payload_type);
  return opened;
}

}  // namespace ovdiff::store
