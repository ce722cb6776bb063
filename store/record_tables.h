// RecordTables: what the store needs of a database, five ordered tables of
// bytes with atomic writes. RocksDB and plain memory implement it; the contract
// of PrototypeStore is built on it once, in store/record_prototype_store.
#ifndef OVDIFF_STORE_RECORD_TABLES_H_
#define OVDIFF_STORE_RECORD_TABLES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::store {

// In memory only: on disk a table has its name.
enum class Table : uint8_t { kMeta, kPrototypes, kSupport, kJobs, kSys };

inline constexpr std::array<absl::string_view, 5> kTableNames = {
    "meta", "proto", "support", "jobs", "sys"};

// Changes that happen together or not at all. Thread-compatible.
class RecordBatch {
 public:
  struct Edit {
    Table table;
    std::string key;
    std::optional<std::string> value;  // None: delete.
  };

  void Put(Table table, std::string key, std::string value) {
    bytes_ += key.size() + value.size();
    edits_.push_back({table, std::move(key), std::move(value)});
  }
  void Delete(Table table, std::string key) {
    bytes_ += key.size();
    edits_.push_back({table, std::move(key), std::nullopt});
  }

  const std::vector<Edit>& edits() const { return edits_; }
  size_t bytes() const { return bytes_; }
  bool empty() const { return edits_.empty(); }

 private:
  std::vector<Edit> edits_;
  size_t bytes_ = 0;
};

// Thread-safe. Codes as PrototypeStore's.
class RecordTables {
 public:
  virtual ~RecordTables() = default;

  // kNotFound if there is none.
  virtual absl::StatusOr<std::string> Get(Table table,
                                          absl::string_view key) const = 0;
  // Calls `visit(key, value)` for the keys that begin with `prefix` and come
  // after `after` (empty: all), in byte order, as of one moment, until it
  // returns false. `visit` must not call these tables.
  virtual absl::Status Scan(
      Table table, absl::string_view prefix, absl::string_view after,
      absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit)
      const = 0;
  // Atomic. OK: survives kill -9 and power loss (where there is a disk).
  virtual absl::Status Write(const RecordBatch& batch) = 0;
  // In the order of `keys`, which are distinct; each as Get().
  virtual std::vector<absl::StatusOr<std::string>> MultiGet(
      Table table, absl::Span<const std::string> keys) const = 0;
  // OK while writes can succeed.
  virtual absl::Status Health() const = 0;

  // Fills what `stats` says of the disk.
  virtual absl::Status AddDiskStats(StoreStats& stats) const = 0;
  // The checksums that the database keeps of its files.
  virtual absl::Status CheckFiles() const = 0;
  // As StoreAdmin's.
  virtual absl::StatusOr<BackupInfo> Backup(const BackupOptions& options,
                                            const CallControl& control) = 0;
  virtual absl::Status Compact(const CallControl& control) = 0;
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_RECORD_TABLES_H_
