// Opening the database: options, and every way in which it can be refused.
#include "store/rocksdb_open.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "rocksdb/cache.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/options.h"
#include "rocksdb/table.h"
#include "store/keys.h"
#include "store/record_codec.h"
#include "store/rocksdb_tables.h"
#include "store/status_context.h"

namespace ovdiff::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMiB = int64_t{1} << 20;
// Manifest, options, a fresh log, and RocksDB's own log file.
constexpr int64_t kOpenBytes = 4 * kMiB;

rocksdb::ColumnFamilyOptions MakeTableOptions(
    absl::string_view name, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions table;
  table.memtable_protection_bytes_per_key = 8;
  table.write_buffer_size = 16 * kMiB;
  table.compression = rocksdb::kLZ4Compression;
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = cache;
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  blocks.format_version = 5;  // Pinned: a newer RocksDB must not raise it.
  table.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  const bool has_blobs =
      name == kTableNames[static_cast<size_t>(Table::kPrototypes)] ||
      name == kTableNames[static_cast<size_t>(Table::kSupport)];
  if (has_blobs) {
    table.enable_blob_files = true;
    table.min_blob_size = 4096;
    table.blob_file_size = static_cast<uint64_t>(64 * kMiB);
    table.blob_compression_type = rocksdb::kNoCompression;  // Floats, PNGs.
    table.enable_blob_garbage_collection = true;
    table.blob_garbage_collection_age_cutoff = 0.25;
    table.blob_garbage_collection_force_threshold = 0.5;
  }
  return table;
}

bool HasDatabase(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::path(path) / "CURRENT", error);
}

absl::Status MakeFolder(const StoreOptions& options) {
  const bool may_create =
      options.create_if_missing && options.mode == StoreMode::kReadWrite;
  std::error_code ignored;
  if (!may_create && !HasDatabase(options.path) &&
      !fs::exists(MarkPath(options.path), ignored)) {
    return absl::NotFoundError("no database is there");
  }
  std::error_code error;
  fs::create_directories(options.path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make the folder: ", error.message()));
  }
  return absl::OkStatus();
}

absl::Status NoRoomToRecover(int64_t needed, int64_t free) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "opening needs about ", needed / kMiB + 1,
      " MiB to recover from the "
      "write-ahead log, the volume has ",
      free / kMiB, " MiB free: free space or enlarge it, then open again"));
}

// Replay writes about as much as the log holds (serving.md finding 3). Asked
// before, since RocksDB may abort when it meets a full disk.
absl::Status CheckRoomToOpen(const std::string& path) {
  const int64_t needed = LogBytes(path) * 11 / 10 + kOpenBytes;
  OVDIFF_ASSIGN_OR_RETURN(const int64_t free, FreeBytes(path));
  return free < needed ? NoRoomToRecover(needed, free) : absl::OkStatus();
}

// Whether all families are there; no, if the making of the database was
// interrupted. Families that this program does not know only a newer format can
// have: then its version is read without changing anything, and told.
absl::StatusOr<bool> CheckFamilies(const StoreOptions& options) {
  std::vector<std::string> names;
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(
      rocksdb::DBOptions(), options.path, &names);
  if (!listed.ok()) {
    return OpenError(options, listed);
  }
  const auto is_known = [](const std::string& name) {
    return name == rocksdb::kDefaultColumnFamilyName ||
           std::find(kTableNames.begin(), kTableNames.end(), name) !=
               kTableNames.end();
  };
  const auto unknown = std::find_if_not(names.begin(), names.end(), is_known);
  if (unknown == names.end()) {
    return names.size() == kTableNames.size() + 1;
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const std::string sys(kTableNames[static_cast<size_t>(Table::kSys)]);
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly(
      rocksdb::DBOptions(), options.path,
      {{rocksdb::kDefaultColumnFamilyName, {}}, {sys, {}}}, &handles, &raw);
  std::string found = "unknown";
  if (opened.ok()) {
    const std::unique_ptr<rocksdb::DB> db(raw);
    std::string bytes;
    if (db->Get({}, handles[1], std::string(kStoreFormatKey), &bytes).ok()) {
      const auto format = DecodeStoreFormat(bytes);
      found = format.ok() ? absl::StrCat(format->format_version)
                          : std::string(format.status().message());
    }
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the database is of a newer format (", found, "; it has a table '",
      *unknown, "'); this program reads up to format ", kFormatVersion,
      ": use a newer one"));
}

absl::Status HeldOpen() {
  return absl::FailedPreconditionError(
      "another process (or another store of this one) holds it open; stop that "
      "one first");
}

// A folder with files of a database, but without the file that says so. Making
// a new one there would lose the old one for good.
absl::Status RefuseRemains(const std::string& path) {
  const auto mark = ReadMark(path);
  bool has_files =
      mark.ok() ? mark->sequence > 0 : absl::IsDataLoss(mark.status());
  std::error_code error;
  for (fs::directory_iterator file(path, error), end; !error && file != end;
       file.increment(error)) {
    const std::string extension = file->path().extension();
    has_files = has_files || extension == ".sst" || extension == ".blob";
  }
  return has_files ? absl::DataLossError(
                         "its file CURRENT is gone, the other files of a "
                         "database are there")
                   : absl::OkStatus();
}

// Why the database is not to be opened for writing, found without changing
// anything: what it has lost, a newer format, another holder.
absl::Status FindLoss(const StoreOptions& options) {
  if (!HasDatabase(options.path)) {
    return RefuseRemains(options.path);
  }
  OVDIFF_ASSIGN_OR_RETURN(const auto lock, FolderLock::Take(options.path));
  OVDIFF_ASSIGN_OR_RETURN(const bool has_all_families, CheckFamilies(options));
  if (!has_all_families) {
    const auto mark = ReadMark(options.path);
    return mark.ok() && mark->sequence > 0
               ? absl::DataLossError("it lacks tables that it had")
               : absl::OkStatus();
  }
  OVDIFF_ASSIGN_OR_RETURN(const OpenDatabase database, OpenReadOnly(options));
  return database.loss;
}

// What to do about a store that cannot be opened as it is.
absl::Status WithAdvice(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) {
    return status;
  }
  return absl::DataLossError(absl::StrCat(
      status.message(),
      ". Nothing was changed. Restore a backup into another folder (ovdiffd "
      "store restore), or copy this one and take what is left (ovdiffd store "
      "recover; --store-mode recover); --store-mode read-only serves what can "
      "be read"));
}

// Reads and writes. `loss` stays as it is.
absl::Status OpenReadWrite(const StoreOptions& options,
                           OpenDatabase& database) {
  OVDIFF_ASSIGN_OR_RETURN(database.mark, AcknowledgedMark::Open(options.path));
  database.watcher = std::make_shared<DatabaseWatcher>(database.mark);
  rocksdb::DBOptions db_options = MakeDbOptions(options);
  db_options.listeners.push_back(database.watcher);
  if (options.mode == StoreMode::kRecover) {
    db_options.wal_recovery_mode =
        rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(
      db_options, options.path, MakeDescriptors(options), &handles, &db);
  if (!opened.ok() && options.mode == StoreMode::kRecover) {
    // Without what needs files that are not there, or not whole.
    db_options.best_efforts_recovery = true;
    database.loss.Update(OpenError(options, opened));
    opened = rocksdb::DB::Open(db_options, options.path,
                               MakeDescriptors(options), &handles, &db);
  }
  if (!opened.ok()) {
    return OpenError(options, opened);
  }
  TakeDatabase(db, handles, database);
  return absl::OkStatus();
}

}  // namespace

int64_t LogBytes(const std::string& path) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator file(path, error), end; !error && file != end;
       file.increment(error)) {
    if (file->path().extension() == ".log") {
      std::error_code size_error;
      const auto size = file->file_size(size_error);
      bytes += size_error ? 0 : static_cast<int64_t>(size);
    }
  }
  return bytes;
}

rocksdb::DBOptions MakeDbOptions(const StoreOptions& options) {
  rocksdb::DBOptions db;
  db.create_if_missing =
      options.create_if_missing && options.mode == StoreMode::kReadWrite;
  // With the check against the mark (rocksdb_losses.cc) the strictest there is:
  // what follows damage is not taken, and that it is missing is noticed. A
  // write that was under way when the process died is no damage.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  db.create_missing_column_families = true;
  db.max_background_jobs = 2;
  // Recovery needs about this much new space (serving.md finding 3).
  db.max_total_wal_size = 64 * kMiB;
  db.db_write_buffer_size = 64 * kMiB;
  db.bytes_per_sync = kMiB;
  // 7.8 has bugs in both (serving.md C): they stay off, also if defaults
  // change.
  db.track_and_verify_wals_in_manifest = false;
  db.wal_compression = rocksdb::kNoCompression;
  db.max_manifest_file_size = 4 * kMiB;
  // Its own log, kept in the database's folder and bounded.
  db.keep_log_file_num = 4;
  db.max_log_file_size = kMiB;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  return db;
}

std::vector<rocksdb::ColumnFamilyDescriptor> MakeDescriptors(
    const StoreOptions& options) {
  const auto cache =
      rocksdb::NewLRUCache(static_cast<size_t>(options.block_cache_bytes));
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName,
                           MakeTableOptions("", cache));
  for (const absl::string_view name : kTableNames) {
    descriptors.emplace_back(std::string(name), MakeTableOptions(name, cache));
  }
  return descriptors;
}

absl::Status OpenError(const StoreOptions& options,
                       const rocksdb::Status& status) {
  const std::string text = status.ToString();
  if (status.IsIOError() && absl::StrContains(text, "/LOCK")) {
    return HeldOpen();
  }
  if (status.IsIOError() && status.subcode() == rocksdb::Status::kNoSpace) {
    const auto free = FreeBytes(options.path);
    return NoRoomToRecover(LogBytes(options.path) * 11 / 10 + kOpenBytes,
                           free.ok() ? *free : 0);
  }
  const absl::Status mapped = ToStatus(status);
  return absl::IsDataLoss(mapped) ? absl::DataLossError(absl::StrCat(
                                        "the database is damaged (", text, ")"))
                                  : mapped;
}

absl::StatusOr<int64_t> FreeBytes(const std::string& path) {
  std::error_code error;
  const fs::space_info space = fs::space(path, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot tell the free space of ",
                                               path, ": ", error.message()));
  }
  return static_cast<int64_t>(space.available);
}

void TakeDatabase(rocksdb::DB* db,
                  const std::vector<rocksdb::ColumnFamilyHandle*>& handles,
                  OpenDatabase& database) {
  database.db.reset(db);
  db->DestroyColumnFamilyHandle(handles[0]).PermitUncheckedError();
  for (size_t i = 0; i < database.tables.size(); ++i) {
    database.tables[i].reset(handles[i + 1]);
  }
}

absl::StatusOr<std::unique_ptr<FolderLock>> FolderLock::Take(
    const std::string& folder) {
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status status =
      rocksdb::Env::Default()->LockFile(folder + "/LOCK", &lock);
  if (!status.ok() && access(folder.c_str(), W_OK) == 0) {
    return HeldOpen();
  }
  return std::unique_ptr<FolderLock>(
      new FolderLock(status.ok() ? lock : nullptr));
}

FolderLock::~FolderLock() {
  if (lock_ != nullptr) {
    rocksdb::Env::Default()->UnlockFile(lock_).PermitUncheckedError();
  }
}

absl::StatusOr<OpenDatabase> OpenDatabaseAt(const StoreOptions& options) {
  const bool is_recovering = options.mode == StoreMode::kRecover;
  OVDIFF_RETURN_IF_ERROR(MakeFolder(options));
  if (options.mode == StoreMode::kReadOnly) {
    OVDIFF_ASSIGN_OR_RETURN(auto lock, FolderLock::Take(options.path));
    OVDIFF_RETURN_IF_ERROR(CheckFamilies(options).status());
    OVDIFF_ASSIGN_OR_RETURN(OpenDatabase database, OpenReadOnly(options));
    database.lock = std::move(lock);
    return database;
  }
  OVDIFF_RETURN_IF_ERROR(CheckRoomToOpen(options.path));
  OpenDatabase database;
  database.loss = FindLoss(options);
  const bool can_go_on =
      database.loss.ok() || (is_recovering && absl::IsDataLoss(database.loss));
  if (!can_go_on) {
    return WithAdvice(database.loss);
  }
  if (!database.loss.ok()) {
    OVDIFF_RETURN_IF_ERROR(RestoreCurrent(options.path));
  }
  OVDIFF_RETURN_IF_ERROR(OpenReadWrite(options, database));
  return database;
}

}  // namespace ovdiff::store
