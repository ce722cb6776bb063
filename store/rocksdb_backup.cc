// Backups: RocksDB's BackupEngine, its checksums read back.
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "rocksdb/utilities/backup_engine.h"
#include "store/rocksdb_tables.h"
#include "store/status_context.h"

namespace ovdiff::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMiB = int64_t{1} << 20;
// RocksDB calls back this often while it copies.
constexpr uint64_t kCallbackBytes = 4 << 20;

rocksdb::BackupEngineOptions EngineOptions(const std::string& folder) {
  rocksdb::BackupEngineOptions options(folder);
  options.share_table_files = true;
  options.share_files_with_checksum = true;
  options.sync = true;
  options.callback_trigger_interval_size = kCallbackBytes;
  return options;
}

BackupInfo ToInfo(const rocksdb::BackupInfo& backup) {
  BackupInfo info;
  info.id = backup.backup_id;
  info.create_time = absl::FromUnixSeconds(backup.timestamp);
  info.bytes = static_cast<int64_t>(backup.size);
  info.num_files = backup.number_files;
  return info;
}

absl::StatusOr<std::vector<BackupInfo>> InfosOf(
    const rocksdb::BackupEngineReadOnly& engine, const std::string& folder) {
  std::vector<rocksdb::BackupInfo> backups;
  engine.GetBackupInfo(&backups);
  if (backups.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no backup is in ", folder, "; make one with ovdiffd store backup"));
  }
  std::vector<BackupInfo> infos;
  for (const rocksdb::BackupInfo& backup : backups) {
    infos.push_back(ToInfo(backup));
  }
  return infos;
}

absl::StatusOr<std::unique_ptr<rocksdb::BackupEngineReadOnly>> OpenBackups(
    const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("no folder ", folder));
  }
  rocksdb::BackupEngineReadOnly* engine = nullptr;
  const absl::Status status = ToStatus(rocksdb::BackupEngineReadOnly::Open(
      EngineOptions(folder), rocksdb::Env::Default(), &engine));
  if (!status.ok()) {
    return WithContext(absl::StrCat("backups in ", folder), status);
  }
  return std::unique_ptr<rocksdb::BackupEngineReadOnly>(engine);
}

// Of the files of the database that are not in the folder yet; a shared file is
// there under "<number>_…". An upper bound.
int64_t BytesToCopy(rocksdb::DB& db, const std::string& folder) {
  std::vector<std::string> present;
  std::error_code error;
  for (fs::directory_iterator file(folder + "/shared_checksum", error), end;
       !error && file != end; file.increment(error)) {
    const std::string name = file->path().filename();
    present.push_back(name.substr(0, name.find('_')));
  }
  std::vector<rocksdb::LiveFileStorageInfo> files;
  int64_t bytes = 0;
  if (db.GetLiveFilesStorageInfo({}, &files).ok()) {
    for (const rocksdb::LiveFileStorageInfo& file : files) {
      const std::string number =
          file.relative_filename.substr(0, file.relative_filename.find('.'));
      const bool is_there =
          std::find(present.begin(), present.end(), number) != present.end();
      bytes += is_there ? 0 : static_cast<int64_t>(file.size);
    }
  }
  return bytes;
}

absl::Status CheckBackupRoom(rocksdb::DB& db, const std::string& folder) {
  const int64_t needed = BytesToCopy(db, folder) + 16 * kMiB;
  OVDIFF_ASSIGN_OR_RETURN(const int64_t free, FreeBytes(folder));
  if (free < needed) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the backup needs about ", needed / kMiB + 1,
                     " MiB, the volume of ", folder, " has ", free / kMiB,
                     " MiB free: free space, or take another"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BackupInfo> RocksDbTables::Backup(const BackupOptions& options,
                                                 const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(
      database_.loss);  // Not to be kept as if it were whole.
  MutexLock one_at_a_time(&maintenance_mutex_);
  OVDIFF_RETURN_IF_ERROR(control.Check());
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat(
        "cannot make the folder ", options.folder, ": ", error.message()));
  }
  OVDIFF_RETURN_IF_ERROR(CheckBackupRoom(*database_.db, options.folder));
  rocksdb::BackupEngine* raw = nullptr;
  const absl::Status opened = ToStatus(rocksdb::BackupEngine::Open(
      rocksdb::Env::Default(), EngineOptions(options.folder), &raw));
  if (!opened.ok()) {
    return WithContext(absl::StrCat("backups in ", options.folder), opened);
  }
  const std::unique_ptr<rocksdb::BackupEngine> engine(raw);
  rocksdb::CreateBackupOptions create;
  // A backup without a log needs no replay; on a database that is read-only
  // there is nothing that could be flushed.
  create.flush_before_backup = mode_ != StoreMode::kReadOnly;
  create.progress_callback = [&control, raw] {
    if (!control.Check().ok()) {
      raw->StopBackup();
    }
  };
  rocksdb::BackupID id = 0;
  const rocksdb::Status made =
      engine->CreateNewBackup(create, database_.db.get(), &id);
  OVDIFF_RETURN_IF_ERROR(control.Check());
  OVDIFF_RETURN_IF_ERROR(ToStatus(made));
  const absl::Status verified =
      ToStatus(engine->VerifyBackup(id, /*verify_with_checksum=*/true));
  if (!verified.ok()) {
    return WithContext(absl::StrCat("backup ", id, ", as read back"), verified);
  }
  if (options.keep_backups > 0) {
    OVDIFF_RETURN_IF_ERROR(ToStatus(
        engine->PurgeOldBackups(static_cast<uint32_t>(options.keep_backups))));
  }
  rocksdb::BackupInfo info;
  OVDIFF_RETURN_IF_ERROR(ToStatus(engine->GetBackupInfo(id, &info)));
  return ToInfo(info);
}

absl::StatusOr<std::vector<BackupInfo>> ListBackups(const std::string& folder) {
  OVDIFF_ASSIGN_OR_RETURN(const auto engine, OpenBackups(folder));
  return InfosOf(*engine, folder);
}

absl::StatusOr<BackupInfo> RestoreStore(const RestoreOptions& options) {
  OVDIFF_ASSIGN_OR_RETURN(const auto engine,
                          OpenBackups(options.backup_folder));
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<BackupInfo> infos,
                          InfosOf(*engine, options.backup_folder));
  const auto chosen =
      options.id == 0
          ? infos.end() - 1
          : std::find_if(infos.begin(), infos.end(), [&](const auto& info) {
              return info.id == options.id;
            });
  if (chosen == infos.end()) {
    return absl::NotFoundError(
        absl::StrCat("no backup ", options.id, " in ", options.backup_folder,
                     "; the newest is ", infos.back().id));
  }
  std::error_code error;
  if (fs::exists(options.path, error) && !fs::is_empty(options.path, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(options.path,
                     " is not empty; restore into a folder that is not there"));
  }
  fs::create_directories(options.path, error);
  OVDIFF_ASSIGN_OR_RETURN(const int64_t free, FreeBytes(options.path));
  if (free < chosen->bytes + 16 * kMiB) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the backup has ", chosen->bytes / kMiB + 1, " MiB, the volume of ",
        options.path, " has ", free / kMiB, " MiB free"));
  }
  const std::string context = absl::StrCat("backup ", chosen->id);
  absl::Status status =
      ToStatus(engine->VerifyBackup(chosen->id, /*verify_with_checksum=*/true));
  if (status.ok()) {
    status = ToStatus(
        engine->RestoreDBFromBackup(chosen->id, options.path, options.path));
  }
  if (status.ok()) {
    // A backup is whole by its checksums; the mark of the store it came from
    // says nothing about this one.
    status = AcknowledgedMark::Open(options.path).status();
  }
  if (status.ok()) {
    status =
        OpenRocksDbStore({.path = options.path, .create_if_missing = false})
            .status();
  }
  if (!status.ok()) {
    return WithContext(context, status);
  }
  return *chosen;
}

}  // namespace ovdiff::store
