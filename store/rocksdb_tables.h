// RecordTables on RocksDB, and how it is opened. Included only by the
// rocksdb_*.cc files of this folder.
#ifndef OVDIFF_STORE_ROCKSDB_TABLES_H_
#define OVDIFF_STORE_ROCKSDB_TABLES_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/mutex.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "store/prototype_store.h"
#include "store/record_tables.h"

namespace ovdiff::store {

// RocksDB's Status as ours: the one place where codes are mapped.
absl::Status ToStatus(const rocksdb::Status& status);

// Bytes free for us on the volume of `path`. kUnavailable if it cannot be told.
absl::StatusOr<int64_t> FreeBytes(const std::string& path);

// Remembers why RocksDB stopped writing in the background. Thread-safe.
class BackgroundErrors final : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason,
                         rocksdb::Status* error) override;
  void OnErrorRecoveryEnd(
      const rocksdb::BackgroundErrorRecoveryInfo& info) override;

  absl::Status status() const;

 private:
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// An open database. The handles are destroyed before the database, and it
// before the listener.
struct OpenDatabase {
  OpenDatabase() = default;
  OpenDatabase(OpenDatabase&&) = default;
  OpenDatabase& operator=(OpenDatabase&&) = default;

  std::shared_ptr<BackgroundErrors> background_errors;
  std::unique_ptr<rocksdb::DB> db;
  // By Table.
  std::array<std::unique_ptr<rocksdb::ColumnFamilyHandle>, kTableNames.size()>
      tables;
};

// As OpenRocksDbStore(), but for the format of the records, which is not
// looked at.
absl::StatusOr<OpenDatabase> OpenDatabaseAt(const StoreOptions& options);

// Thread-safe.
class RocksDbTables final : public RecordTables {
 public:
  RocksDbTables(const StoreOptions& options, OpenDatabase database);

  absl::StatusOr<std::string> Get(Table table,
                                  absl::string_view key) const override;
  absl::Status Scan(
      Table table, absl::string_view prefix, absl::string_view after,
      absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit)
      const override;
  absl::Status Write(const RecordBatch& batch) override;
  absl::StatusOr<int64_t> DiskBytes() const override;
  absl::Status Health() const override;

 private:
  // kResourceExhausted unless the volume has room for `bytes` in flight.
  absl::Status CheckRoom(int64_t bytes) const;
  rocksdb::ColumnFamilyHandle* handle(Table table) const;

  const std::string path_;
  const int64_t min_free_bytes_;
  OpenDatabase database_;
  // Of writes that passed, or are at, the gate.
  std::atomic<int64_t> bytes_in_flight_{0};
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_ROCKSDB_TABLES_H_
