// Keys of the tables, as bytes: big-endian, so that byte order is the order of
// the things named. Layout: store/FORMAT.md, "Keys". Pure functions.
// The content keys themselves are declared in store/prototype_store.h.
#ifndef OVDIFF_STORE_KEYS_H_
#define OVDIFF_STORE_KEYS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// Table "proto" and "support": the 32 bytes.
std::string ContentTableKey(const ContentKey& key);

// Table "meta". Names hold no NUL byte (store/validation.h sees to it).
std::string PrototypeEntryKey(const ContentKey& key);
std::string SupportEntryKey(const ContentKey& key);
std::string HeadKey(const VocabularyId& id);
std::string VersionKey(const VocabularyId& id, int64_t version);
std::string LabelKey(const VocabularyId& id, absl::string_view class_name);

// What all keys of a kind begin with.
std::string PrototypeEntryPrefix();
std::string SupportEntryPrefix();
std::string HeadPrefix();  // Of all projects.
std::string HeadPrefix(absl::string_view project);

std::string VersionPrefix();  // Of all vocabularies.
std::string VersionPrefix(const VocabularyId& id);
std::string LabelPrefix();
std::string LabelPrefix(const VocabularyId& id);

// What a key names; kDataLoss if it is not of its kind.
absl::StatusOr<VocabularyId> ParseHeadKey(absl::string_view key);
struct VersionName {
  VocabularyId id;
  int64_t version = 0;
};
absl::StatusOr<VersionName> ParseVersionKey(absl::string_view key);
struct LabelName {
  VocabularyId id;
  std::string class_name;
};
absl::StatusOr<LabelName> ParseLabelKey(absl::string_view key);
// Of PrototypeEntryKey() and SupportEntryKey().
absl::StatusOr<ContentKey> ParseEntryKey(absl::string_view key);

// Table "sys".
inline constexpr absl::string_view kStoreFormatKey = "format";
inline constexpr absl::string_view kMarkNoteKey = "acked";

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_KEYS_H_
