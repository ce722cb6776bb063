// What a file of the database is, by its name.
#ifndef OVDIFF_TESTS_STORE_TORTURE_FILE_KIND_H_
#define OVDIFF_TESTS_STORE_TORTURE_FILE_KIND_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace ovdiff::store::torture {

enum class FileKind : uint8_t {
  kAny,
  kWal,
  kTable,  // *.sst
  kBlob,
  kManifest,
  kCurrent,  // and the file that becomes it
  kOptions,
  kIdentity,
  kFolder,
  kInfoLog,  // RocksDB's LOG: nothing rests on it, and no fault meets it
  kOther,
  kBackup,  // Of a backup, whatever it is of.
};
FileKind KindOf(absl::string_view path);
absl::string_view NameOf(FileKind kind);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_FILE_KIND_H_
