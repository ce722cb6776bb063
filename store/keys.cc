#include "store/keys.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ovdiff::store {
namespace {

// First byte of a key of "meta". On disk: do not change or reuse.
constexpr char kHead = 'H';
constexpr char kLabel = 'L';
constexpr char kPrototypeEntry = 'P';
constexpr char kSupportEntry = 'S';
constexpr char kVersion = 'V';

// Said before the fields, so that a support key can never equal a prototype
// key, whatever the fields.
constexpr absl::string_view kSupportDomain = "ovdiff support set 1";
constexpr absl::string_view kPrototypeDomain = "ovdiff prototype set 1";

absl::string_view AsBytes(const Sha256Digest& digest) {
  return absl::string_view(reinterpret_cast<const char*>(digest.data()),
                           digest.size());
}

std::string VocabularyPrefix(char kind, const VocabularyId& id) {
  std::string key(1, kind);
  absl::StrAppend(&key, id.project);
  key.push_back('\0');
  absl::StrAppend(&key, id.name);
  key.push_back('\0');
  return key;
}

std::string EntryKey(char kind, const ContentKey& key) {
  return absl::StrCat(std::string(1, kind), AsBytes(key));
}

absl::Status NotTheKeyOf(absl::string_view what, absl::string_view key) {
  return absl::DataLossError(
      absl::StrCat("not the key of ", what, ": '", absl::CHexEscape(key), "'"));
}

// Parses what VocabularyPrefix() wrote; `rest` is what follows.
bool TakeVocabulary(char kind, absl::string_view key, VocabularyId& id,
                    absl::string_view& rest) {
  const size_t project_end = key.find('\0');
  if (key.empty() || key[0] != kind || project_end == key.npos) {
    return false;
  }
  const size_t name_end = key.find('\0', project_end + 1);
  if (name_end == key.npos) {
    return false;
  }
  id.project = std::string(key.substr(1, project_end - 1));
  id.name =
      std::string(key.substr(project_end + 1, name_end - project_end - 1));
  rest = key.substr(name_end + 1);
  return true;
}

}  // namespace

ContentKey SupportKey(const std::string& prompt,
                      const Sha256Digest& generator_fingerprint) {
  Sha256 hash;
  hash.UpdateField(kSupportDomain);
  hash.UpdateField(prompt);
  hash.UpdateField(AsBytes(generator_fingerprint));
  return hash.Finish();
}

ContentKey PrototypeKey(const std::string& prompt,
                        const Sha256Digest& generator_fingerprint,
                        const Sha256Digest& encoder_fingerprint) {
  Sha256 hash;
  hash.UpdateField(kPrototypeDomain);
  hash.UpdateField(prompt);
  hash.UpdateField(AsBytes(generator_fingerprint));
  hash.UpdateField(AsBytes(encoder_fingerprint));
  return hash.Finish();
}

std::string ContentTableKey(const ContentKey& key) {
  return std::string(AsBytes(key));
}

std::string PrototypeEntryKey(const ContentKey& key) {
  return EntryKey(kPrototypeEntry, key);
}

std::string SupportEntryKey(const ContentKey& key) {
  return EntryKey(kSupportEntry, key);
}

std::string HeadKey(const VocabularyId& id) {
  return absl::StrCat(HeadPrefix(id.project), id.name);
}

std::string VersionKey(const VocabularyId& id, int64_t version) {
  std::string key = VocabularyPrefix(kVersion, id);
  for (int shift = 56; shift >= 0; shift -= 8) {
    key.push_back(
        static_cast<char>((static_cast<uint64_t>(version) >> shift) & 0xff));
  }
  return key;
}

std::string LabelKey(const VocabularyId& id, absl::string_view class_name) {
  return absl::StrCat(VocabularyPrefix(kLabel, id), class_name);
}

std::string PrototypeEntryPrefix() { return std::string(1, kPrototypeEntry); }
std::string SupportEntryPrefix() { return std::string(1, kSupportEntry); }
std::string HeadPrefix() { return std::string(1, kHead); }

std::string HeadPrefix(absl::string_view project) {
  std::string key(1, kHead);
  absl::StrAppend(&key, project);
  key.push_back('\0');
  return key;
}

std::string VersionPrefix() { return std::string(1, kVersion); }
std::string LabelPrefix() { return std::string(1, kLabel); }

std::string VersionPrefix(const VocabularyId& id) {
  return VocabularyPrefix(kVersion, id);
}

std::string LabelPrefix(const VocabularyId& id) {
  return VocabularyPrefix(kLabel, id);
}

absl::StatusOr<VersionName> ParseVersionKey(absl::string_view key) {
  VersionName name;
  absl::string_view rest;
  if (!TakeVocabulary(kVersion, key, name.id, rest) || rest.size() != 8) {
    return NotTheKeyOf("a version", key);
  }
  uint64_t version = 0;
  for (const char byte : rest) {
    version = version << 8 | static_cast<uint8_t>(byte);
  }
  name.version = static_cast<int64_t>(version);
  return name;
}

absl::StatusOr<LabelName> ParseLabelKey(absl::string_view key) {
  LabelName name;
  absl::string_view rest;
  if (!TakeVocabulary(kLabel, key, name.id, rest) || rest.empty()) {
    return NotTheKeyOf("a label", key);
  }
  name.class_name = std::string(rest);
  return name;
}

absl::StatusOr<ContentKey> ParseEntryKey(absl::string_view key) {
  ContentKey content{};
  if (key.size() != 1 + content.size()) {
    return NotTheKeyOf("a set", key);
  }
  std::memcpy(content.data(), key.data() + 1, content.size());
  return content;
}

absl::StatusOr<VocabularyId> ParseHeadKey(absl::string_view key) {
  const size_t separator = key.find('\0');
  if (key.empty() || key[0] != kHead || separator == absl::string_view::npos) {
    return NotTheKeyOf("a vocabulary", key);
  }
  return VocabularyId{.project = std::string(key.substr(1, separator - 1)),
                      .name = std::string(key.substr(separator + 1))};
}

}  // namespace ovdiff::store
