#include "tests/store/torture/file_kind.h"

#include <array>
#include <utility>

#include "absl/strings/match.h"

namespace ovdiff::store::torture {

FileKind KindOf(absl::string_view path) {
  if (absl::StrContains(path, ".backups/")) {
    return FileKind::kBackup;
  }
  const absl::string_view name = path.substr(path.rfind('/') + 1);
  const std::pair<absl::string_view, FileKind> endings[] = {
      {".log", FileKind::kWal},
      {".sst", FileKind::kTable},
      {".blob", FileKind::kBlob}};
  for (const auto& [ending, kind] : endings) {
    if (absl::EndsWith(name, ending)) return kind;
  }
  const std::pair<absl::string_view, FileKind> beginnings[] = {
      {"MANIFEST-", FileKind::kManifest}, {"CURRENT", FileKind::kCurrent},
      {"OPTIONS-", FileKind::kOptions},   {"IDENTITY", FileKind::kIdentity},
      {"LOG", FileKind::kInfoLog},        {"LOCK", FileKind::kInfoLog}};
  for (const auto& [beginning, kind] : beginnings) {
    if (absl::StartsWith(name, beginning)) return kind;
  }
  return absl::EndsWith(name, ".dbtmp") ? FileKind::kCurrent : FileKind::kOther;
}

absl::string_view NameOf(FileKind kind) {
  constexpr std::array<absl::string_view, 12> kNames = {
      "any",     "wal",      "sst",    "blob", "manifest", "current",
      "options", "identity", "folder", "log",  "other",    "backup"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace ovdiff::store::torture
