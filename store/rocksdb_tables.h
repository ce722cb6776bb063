// RecordTables on RocksDB, and how it is opened. Included only by the
// rocksdb_*.cc files of this folder.
#ifndef OVDIFF_STORE_ROCKSDB_TABLES_H_
#define OVDIFF_STORE_ROCKSDB_TABLES_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/mutex.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "store/acknowledged_mark.h"
#include "store/prototype_store.h"
#include "store/record_tables.h"

namespace ovdiff::store {

// RocksDB's Status as ours: the one place where codes are mapped.
absl::Status ToStatus(const rocksdb::Status& status);

// Bytes free for us on the volume of `path`. kUnavailable if it cannot be told.
absl::StatusOr<int64_t> FreeBytes(const std::string& path);

// Remembers why RocksDB stopped writing in the background, and keeps the mark
// up to date with the manifest. Thread-safe.
class DatabaseWatcher final : public rocksdb::EventListener {
 public:
  // `mark` may be null.
  explicit DatabaseWatcher(std::shared_ptr<AcknowledgedMark> mark)
      : mark_(std::move(mark)) {}

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason,
                         rocksdb::Status* error) override;
  void OnErrorRecoveryEnd(
      const rocksdb::BackgroundErrorRecoveryInfo& info) override;
  void OnFlushCompleted(rocksdb::DB* db,
                        const rocksdb::FlushJobInfo& info) override;
  void OnCompactionCompleted(rocksdb::DB* db,
                             const rocksdb::CompactionJobInfo& info) override;

  absl::Status status() const;
  int64_t num_errors() const { return num_errors_; }

 private:
  void NoteManifest();

  const std::shared_ptr<AcknowledgedMark> mark_;
  std::atomic<int64_t> num_errors_{0};
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Holds a folder against other processes, and other stores of this one.
class FolderLock {
 public:
  // kFailedPrecondition if somebody else holds it. A volume that cannot be
  // written is held by nobody.
  static absl::StatusOr<std::unique_ptr<FolderLock>> Take(
      const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(rocksdb::FileLock* lock) : lock_(lock) {}

  rocksdb::FileLock* const lock_;  // Null: on a volume that is read-only.
};

// An open database. The handles are destroyed before the database, and it
// before the listener.
struct OpenDatabase {
  OpenDatabase() = default;
  OpenDatabase(OpenDatabase&&) = default;
  OpenDatabase& operator=(OpenDatabase&&) = default;

  std::unique_ptr<FolderLock> lock;        // Null: `db` itself holds it.
  std::shared_ptr<AcknowledgedMark> mark;  // Null: opened read-only.
  std::shared_ptr<DatabaseWatcher> watcher;
  std::unique_ptr<rocksdb::DB> db;
  // By Table.
  std::array<std::unique_ptr<rocksdb::ColumnFamilyHandle>, kTableNames.size()>
      tables;
  // Why not all that was acknowledged is there; OK: it is.
  absl::Status loss;
};

// As OpenRocksDbStore(), but for the repair of records. A database that is
// refused is unchanged.
absl::StatusOr<OpenDatabase> OpenDatabaseAt(const StoreOptions& options);

// Thread-safe.
class RocksDbTables final : public RecordTables {
 public:
  RocksDbTables(const StoreOptions& options, OpenDatabase database);
  ~RocksDbTables() override;

  absl::StatusOr<std::string> Get(Table table,
                                  absl::string_view key) const override;
  std::vector<absl::StatusOr<std::string>> MultiGet(
      Table table, absl::Span<const std::string> keys) const override;
  absl::Status Scan(
      Table table, absl::string_view prefix, absl::string_view after,
      absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit)
      const override;
  absl::Status Write(const RecordBatch& batch) override;
  absl::Status Health() const override;
  // rocksdb_maintenance.cc.
  absl::Status AddDiskStats(StoreStats& stats) const override;
  absl::Status CheckFiles() const override;
  absl::StatusOr<BackupInfo> Backup(const BackupOptions& options,
                                    const CallControl& control) override;
  absl::Status Compact(const CallControl& control) override;

  // Takes what is there as all that was acknowledged.
  absl::Status AcceptState();

 private:
  absl::Status CheckWritable() const;
  // kResourceExhausted unless the volume has room for `bytes` in flight.
  absl::Status CheckRoom(int64_t bytes) const;
  rocksdb::ColumnFamilyHandle* handle(Table table) const;

  const std::string path_;
  const StoreMode mode_;
  const int64_t min_free_bytes_;
  OpenDatabase database_;
  Mutex maintenance_mutex_;  // One backup or compaction at a time.
  // Of writes that passed, or are at, the gate.
  std::atomic<int64_t> bytes_in_flight_{0};
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_ROCKSDB_TABLES_H_
