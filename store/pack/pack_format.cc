#include "store/pack/pack_format.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "store/bytes.h"
#include "store/validation.h"

namespace ovdiff::store {
namespace {

// The line ends show a file that went through a text mode.
constexpr absl::string_view kMagic("OVPACK\r\n", 8);
constexpr size_t kReservedBytes = kPackPreambleBytes - 8 - 2;
constexpr uint8_t kEd25519 = 1;
// Bytes of a class with empty texts.
constexpr size_t kMinClassBytes = 4 + 4 + 1 + 2 + 32 + 32 + 1;

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("malformed ", what, " of the pack"));
}

std::string Seal(RecordType type, ByteWriter& writer) {
  return SealEnvelope(type, PayloadType::kNone, writer.Take(), kPackFormat);
}

// The payload of a record that packs of format 1 have.
absl::StatusOr<absl::string_view> Open(RecordType type,
                                       absl::string_view record) {
  OVDIFF_ASSIGN_OR_RETURN(const OpenedEnvelope envelope,
                          OpenEnvelope(type, record));
  if (envelope.format_version != kPackFormat) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a record of the pack is of format ", envelope.format_version,
        "; this program reads format ", kPackFormat));
  }
  return envelope.payload;
}

void PutClass(const PackedClass& entry, ByteWriter& writer) {
  writer.Text(entry.name);
  writer.Text(entry.prompt);
  writer.U8(static_cast<uint8_t>(entry.kind));
  writer.U16(entry.label);
  writer.Digest(entry.prototype_key);
  writer.Digest(entry.support_key);
  writer.U8(entry.has_pictures ? 1 : 0);
}

// Whether an entry that keeps the rules could be read.
bool TakeClass(uint16_t previous_label, ByteReader& reader,
               PackedClass& entry) {
  entry.name = reader.Text();
  entry.prompt = reader.Text();
  const uint8_t kind = reader.U8();
  entry.kind = static_cast<ClassKind>(kind);
  entry.label = reader.U16();
  entry.prototype_key = reader.Digest();
  entry.support_key = reader.Digest();
  const uint8_t has_pictures = reader.U8();
  entry.has_pictures = has_pictures == 1;
  return reader.ok() && kind <= static_cast<uint8_t>(ClassKind::kStuff) &&
         has_pictures <= 1 && entry.label > previous_label &&
         ValidateName("the class name", entry.name).ok() &&
         entry.prompt.size() <= kMaxPromptBytes;
}

}  // namespace

std::string EncodePackPreamble() {
  ByteWriter writer;
  writer.Raw(kMagic);
  writer.U16(kPackFormat);
  writer.Raw(std::string(kReservedBytes, '\0'));
  return writer.Take();
}

absl::Status CheckPackPreamble(absl::string_view bytes) {
  ByteReader reader(bytes);
  const absl::string_view magic = reader.Raw(kMagic.size());
  const uint16_t format = reader.U16();
  const absl::string_view reserved = reader.Raw(kReservedBytes);
  if (!reader.AtEnd() || magic != kMagic) {
    return absl::DataLossError(
        "not a class pack, or one that was harmed on its way: it does not "
        "begin with OVPACK and CR LF");
  }
  if (format > kPackFormat) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the pack is of format ", format, "; this program reads up to format ",
        kPackFormat, ": use a newer one"));
  }
  if (format == 0 || reserved != std::string(kReservedBytes, '\0')) {
    return Malformed("preamble");
  }
  return absl::OkStatus();
}

std::string EncodePackManifest(const PackManifest& manifest) {
  ByteWriter writer;
  writer.Text(manifest.vocabulary);
  writer.I64(manifest.version);
  writer.I64(absl::ToUnixNanos(manifest.create_time));
  for (const std::string* text :
       {&manifest.program, &manifest.bundle, &manifest.bundle_license,
        &manifest.license}) {
    writer.Text(*text);
  }
  writer.U32(static_cast<uint32_t>(manifest.classes.size()));
  for (const PackedClass& entry : manifest.classes) {
    PutClass(entry, writer);
  }
  return Seal(kPackManifestRecord, writer);
}

absl::StatusOr<PackManifest> DecodePackManifest(absl::string_view record) {
  OVDIFF_ASSIGN_OR_RETURN(const absl::string_view payload,
                          Open(kPackManifestRecord, record));
  ByteReader reader(payload);
  PackManifest manifest;
  manifest.vocabulary = reader.Text();
  manifest.version = reader.I64();
  manifest.create_time = absl::FromUnixNanos(reader.I64());
  for (std::string* text : {&manifest.program, &manifest.bundle,
                            &manifest.bundle_license, &manifest.license}) {
    *text = reader.Text();
    if (text->size() > kMaxPromptBytes) {
      return Malformed("manifest");
    }
  }
  const uint32_t num_classes = reader.Count(kMinClassBytes);
  absl::flat_hash_set<std::string> names;
  uint16_t previous_label = 0;
  for (uint32_t i = 0; i < num_classes; ++i) {
    PackedClass entry;
    if (!TakeClass(previous_label, reader, entry) ||
        !names.insert(entry.name).second) {
      return Malformed("manifest");
    }
    previous_label = entry.label;
    manifest.classes.push_back(std::move(entry));
  }
  if (!reader.AtEnd() || manifest.classes.empty() || manifest.version < 1 ||
      !ValidateName("the vocabulary's name", manifest.vocabulary).ok()) {
    return Malformed("manifest");
  }
  return manifest;
}

std::string EncodePackEnd(const PackEnd& end) {
  ByteWriter writer;
  writer.U64(end.num_records);
  writer.U64(end.num_bytes);
  writer.Digest(end.digest);
  return Seal(kPackEndRecord, writer);
}

absl::StatusOr<PackEnd> DecodePackEnd(absl::string_view record) {
  OVDIFF_ASSIGN_OR_RETURN(const absl::string_view payload,
                          Open(kPackEndRecord, record));
  ByteReader reader(payload);
  PackEnd end;
  end.num_records = reader.U64();
  end.num_bytes = reader.U64();
  end.digest = reader.Digest();
  if (!reader.AtEnd()) {
    return Malformed("end");
  }
  return end;
}

std::string EncodePackSignature(const PackSignature& signature) {
  ByteWriter writer;
  writer.U8(kEd25519);
  for (const uint8_t byte : signature.public_key) {
    writer.U8(byte);
  }
  for (const uint8_t byte : signature.signature) {
    writer.U8(byte);
  }
  return Seal(kPackSignatureRecord, writer);
}

absl::StatusOr<PackSignature> DecodePackSignature(absl::string_view record) {
  OVDIFF_ASSIGN_OR_RETURN(const absl::string_view payload,
                          Open(kPackSignatureRecord, record));
  ByteReader reader(payload);
  const uint8_t algorithm = reader.U8();
  const absl::string_view key = reader.Raw(32);
  const absl::string_view bytes = reader.Raw(64);
  if (!reader.AtEnd() || algorithm != kEd25519) {
    return Malformed("signature");
  }
  PackSignature signature;
  std::copy(key.begin(), key.end(), signature.public_key.begin());
  std::copy(bytes.begin(), bytes.end(), signature.signature.begin());
  return signature;
}

std::string PackSignatureMessage(const Sha256Digest& digest) {
  ByteWriter writer;
  writer.Raw(absl::string_view("ovdiff class pack 1\0", 20));
  writer.Digest(digest);
  return writer.Take();
}

bool SignatureHolds(const PackSignature& signature,
                    const Sha256Digest& digest) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                  signature.public_key.data(),
                                  signature.public_key.size()),
      &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const std::string message = PackSignatureMessage(digest);
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr,
                              key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.signature.data(),
                          signature.signature.size(),
                          reinterpret_cast<const uint8_t*>(message.data()),
                          message.size()) == 1;
}

}  // namespace ovdiff::store
