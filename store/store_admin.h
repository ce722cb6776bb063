// StoreAdmin: looking after a store. What `ovdiffd store …` does to a closed
// store and StoreService to a live one.
#ifndef OVDIFF_STORE_STORE_ADMIN_H_
#define OVDIFF_STORE_STORE_ADMIN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/call_control.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// What a long operation has done so far. Totals are what there was at its
// start.
struct AdminProgress {
  int64_t records = 0;
  int64_t total_records = 0;
  int64_t bytes = 0;
};
// Called on the thread of the operation, some ten times a second at most.
using AdminProgressCallback = std::function<void(const AdminProgress&)>;

// A record that is not as it should be.
struct RecordProblem {
  std::string table;  // As in store/FORMAT.md: "proto", "meta", …; or "files".
  std::string key;    // Printable: "prototype set 1f2e…", "job j-1".
  // kDataLoss            damaged
  // kNotFound            named by others but not there
  // kFailedPrecondition  unharmed, but of a newer format
  // kUnavailable         unreadable: an I/O error
  absl::Status status;
  // Who needs it: "project/vocabulary: class", of newest versions and, where no
  // newest one does, of older ones. At most kMaxUsers, of `num_users`.
  std::vector<std::string> users;
  int64_t num_users = 0;
  bool is_dropped = false;  // By VerifyOptions.drop_damaged_sets.
};
inline constexpr size_t kMaxUsers = 8;

struct VerifyOptions {
  // RocksDB's checksums of every block of every table file, too.
  bool check_files = true;
  // Of reading; 0: as fast as it goes. A scrub of a live store leaves room.
  int64_t max_bytes_per_second = 0;
  // Takes damaged prototype and support sets out of the store, so that their
  // classes are plainly without one: adding them again rebuilds it, and no
  // compaction stumbles over it. Nothing else is ever dropped.
  bool drop_damaged_sets = false;
  // Problems told of; all are counted.
  int64_t max_problems = 1000;
};

struct VerifyReport {
  int64_t records = 0;  // Read.
  int64_t bytes = 0;
  int64_t num_problems = 0;
  int64_t num_dropped = 0;
  std::vector<RecordProblem> problems;
};

struct GarbageOptions {
  // Says what would go, and changes nothing.
  bool dry_run = true;
  // Versions kept of each vocabulary, counted from the newest; older ones go,
  // and what only they needed. 0: all. A request that pins a version that has
  // gone is told so.
  int64_t keep_versions = 0;
  // Sets made (by their create_time) less than this ago are kept: a job may be
  // about to publish them.
  absl::Duration min_age = absl::Hours(1);
  // Sets of either kind that jobs still need; the store cannot read jobs.
  std::vector<ContentKey> keep = {};
  // Items told of; all are counted.
  int64_t max_items = 1000;
};

struct GarbageItem {
  enum class Kind { kPrototypeSet, kSupportSet, kVersion };
  Kind kind = Kind::kPrototypeSet;
  std::string name;  // The key in hexadecimal, or "project/vocabulary@version".
  int64_t bytes = 0;
};

struct GarbageReport {
  bool is_dry_run = true;
  int64_t num_prototype_sets = 0;
  int64_t num_support_sets = 0;
  int64_t num_versions = 0;
  int64_t bytes = 0;  // Of the records of all of them.
  std::vector<GarbageItem> items;
};

struct BackupInfo {
  uint32_t id = 0;  // 1, 2, …
  absl::Time create_time;
  int64_t bytes = 0;
  int64_t num_files = 0;
};

struct BackupOptions {
  std::string folder;  // Made if need be; holds any number of backups.
  // Older ones are deleted once the new one is whole. 0: all are kept.
  int64_t keep_backups = 0;
};

// PrototypeStore::admin(). Thread-safe; all of it may run beside reads and
// writes. Long operations stop
// with the code of `control` when they are to. Codes otherwise as
// PrototypeStore's.
class StoreAdmin {
 public:
  virtual ~StoreAdmin() = default;

  // Reads and checks everything, a record at a time (memory: the largest one).
  // A store with problems is OK: the report says so.
  virtual absl::StatusOr<VerifyReport> Verify(
      const VerifyOptions& options, const CallControl& control,
      const AdminProgressCallback& on_progress) = 0;

  // Deletes what no version of any vocabulary needs, nor options.keep. The
  // space returns to the volume with Compact(), or bit by bit. Safe beside
  // publishes: what one of them needs stays. kDataLoss if a version is
  // unreadable: what it needs cannot be told, so nothing is deleted.
  virtual absl::StatusOr<GarbageReport> CollectGarbage(
      const GarbageOptions& options, const CallControl& control) = 0;

  // Copies the store as of one moment; files of earlier backups in the folder
  // are shared. Checked when it returns: every file's checksum, read back.
  virtual absl::StatusOr<BackupInfo> Backup(const BackupOptions& options,
                                            const CallControl& control) = 0;

  // Rewrites all tables without what was deleted or replaced.
  // kResourceExhausted without room for a second copy of the largest table.
  virtual absl::Status Compact(const CallControl& control) = 0;
};

// Ascending by id. kNotFound if there is no backup in the folder.
absl::StatusOr<std::vector<BackupInfo>> ListBackups(const std::string& folder);

struct RestoreOptions {
  std::string backup_folder;
  uint32_t id = 0;   // 0: the newest.
  std::string path;  // Must be empty or not there: kAlreadyExists otherwise.
};

// Makes a store of a backup, checksums verified on the way, and opens it once
// to see that it can be.
absl::StatusOr<BackupInfo> RestoreStore(const RestoreOptions& options);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_STORE_ADMIN_H_
