// What RocksDbTables tells of, and does to, its files.
#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "store/rocksdb_open.h"
#include "store/rocksdb_tables.h"

namespace ovdiff::store {
namespace {

absl::StatusOr<int64_t> Property(rocksdb::DB& db,
                                 rocksdb::ColumnFamilyHandle& table,
                                 const std::string& name) {
  uint64_t value = 0;
  if (!db.GetIntProperty(&table, name, &value)) {
    return absl::UnavailableError(absl::StrCat("RocksDB does not tell ", name));
  }
  return static_cast<int64_t>(value);
}

}  // namespace

absl::Status RocksDbTables::AddDiskStats(StoreStats& stats) const {
  rocksdb::DB& db = *database_.db;
  stats.log_bytes = LogBytes(path_);
  using Properties = rocksdb::DB::Properties;
  for (const auto& table : database_.tables) {
    OVDIFF_ASSIGN_OR_RETURN(
        const int64_t table_bytes,
        Property(db, *table, Properties::kLiveSstFilesSize));
    OVDIFF_ASSIGN_OR_RETURN(
        const int64_t blob_bytes,
        Property(db, *table, Properties::kLiveBlobFileSize));
    OVDIFF_ASSIGN_OR_RETURN(
        const int64_t dead_bytes,
        Property(db, *table, Properties::kLiveBlobFileGarbageSize));
    stats.disk_bytes += table_bytes + blob_bytes;
    stats.dead_bytes += dead_bytes;
  }
  stats.disk_bytes += stats.log_bytes;
  stats.num_background_errors = database_.watcher->num_errors();
  OVDIFF_ASSIGN_OR_RETURN(stats.free_bytes, FreeBytes(path_));
  return absl::OkStatus();
}

absl::Status RocksDbTables::CheckFiles() const {
  return ToStatus(database_.db->VerifyChecksum());
}

absl::Status RocksDbTables::Compact(const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(CheckWritable());
  MutexLock one_at_a_time(&maintenance_mutex_);
  // All of a table is written anew before the old files go.
  int64_t largest = 0;
  for (const auto& table : database_.tables) {
    OVDIFF_ASSIGN_OR_RETURN(
        const int64_t table_bytes,
        Property(*database_.db, *table,
                 rocksdb::DB::Properties::kLiveSstFilesSize));
    OVDIFF_ASSIGN_OR_RETURN(
        const int64_t blob_bytes,
        Property(*database_.db, *table,
                 rocksdb::DB::Properties::kLiveBlobFileSize));
    largest = std::max(largest, table_bytes + blob_bytes);
  }
  OVDIFF_RETURN_IF_ERROR(CheckRoom(bytes_in_flight_ + largest));
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction =
      rocksdb::BottommostLevelCompaction::kForceOptimized;
  options.blob_garbage_collection_policy =
      rocksdb::BlobGarbageCollectionPolicy::kForce;
  options.blob_garbage_collection_age_cutoff = 1.0;
  for (const auto& table : database_.tables) {
    OVDIFF_RETURN_IF_ERROR(control.Check());
    OVDIFF_RETURN_IF_ERROR(ToStatus(
        database_.db->CompactRange(options, table.get(), nullptr, nullptr)));
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::store
