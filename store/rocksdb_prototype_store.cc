#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "rocksdb/write_batch.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"
#include "store/record_prototype_store.h"
#include "store/repair.h"
#include "store/rocksdb_tables.h"
#include "store/status_context.h"

namespace ovdiff::store {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

rocksdb::Slice ToSlice(absl::string_view bytes) {
  return rocksdb::Slice(bytes.data(), bytes.size());
}

absl::string_view ToView(const rocksdb::Slice& slice) {
  return absl::string_view(slice.data(), slice.size());
}

// Counts a write as in flight for as long as it lives.
class InFlight {
 public:
  InFlight(std::atomic<int64_t>& total, int64_t bytes)
      : total_(total), bytes_(bytes), total_now_(total += bytes) {}
  ~InFlight() { total_ -= bytes_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  int64_t total_now() const { return total_now_; }

 private:
  std::atomic<int64_t>& total_;
  const int64_t bytes_;
  const int64_t total_now_;
};

// A new database gets the current format, an old one its note of the mark:
// from then on it is not whole without the mark.
absl::Status WriteSystemRecords(RocksDbTables& tables) {
  RecordBatch batch;
  const auto format = tables.Get(Table::kSys, kStoreFormatKey);
  if (absl::IsNotFound(format.status())) {
    batch.Put(Table::kSys, std::string(kStoreFormatKey),
              EncodeStoreFormat({.create_time = absl::Now()}));
  }
  const auto note = tables.Get(Table::kSys, kMarkNoteKey);
  if (absl::IsNotFound(note.status())) {
    batch.Put(Table::kSys, std::string(kMarkNoteKey),
              EncodeMarkNote({.create_time = absl::Now()}));
  }
  return batch.empty() ? absl::OkStatus() : tables.Write(batch);
}

absl::Status OpenWith(RocksDbTables& tables, const StoreOptions& options) {
  if (options.mode == StoreMode::kReadOnly) {
    return absl::OkStatus();
  }
  OVDIFF_RETURN_IF_ERROR(tables.AcceptState());
  return WriteSystemRecords(tables);
}

// What is damaged goes, and is told.
absl::Status DropDamagedSets(RecordPrototypeStore& store,
                             RecoveryReport& report) {
  OVDIFF_ASSIGN_OR_RETURN(
      const VerifyReport verified,
      store.Verify({.check_files = false, .drop_damaged_sets = true}, {}, {}));
  for (const RecordProblem& problem : verified.problems) {
    report.actions.push_back(
        absl::StrCat(problem.is_dropped ? "dropped " : "left ", problem.key,
                     ": ", problem.status.message(),
                     problem.users.empty()
                         ? ""
                         : absl::StrCat("; needed by ",
                                        absl::StrJoin(problem.users, ", "))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const std::string text = status.ToString();
  const bool is_out_of_space = status.subcode() == rocksdb::Status::kNoSpace ||
                               status.subcode() == rocksdb::Status::kSpaceLimit;
  if (is_out_of_space) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the disk is full: ", text));
  }
  if (status.IsIOError() &&
      status.subcode() == rocksdb::Status::kPathNotFound) {
    return absl::DataLossError(absl::StrCat("a file is gone: ", text));
  }
  switch (status.code()) {
    case rocksdb::Status::kNotFound:
      return absl::NotFoundError("not in the store");
    case rocksdb::Status::kCorruption:
      return absl::DataLossError(absl::StrCat("damaged on disk: ", text));
    case rocksdb::Status::kInvalidArgument:
    case rocksdb::Status::kNotSupported:
      // We only ask for what RocksDB offers: not the caller's fault.
      return absl::InternalError(absl::StrCat("refused by RocksDB: ", text));
    default:
      return absl::UnavailableError(absl::StrCat("the disk failed: ", text));
  }
}

void DatabaseWatcher::OnBackgroundError(
    rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status* error) {
  ++num_errors_;
  MutexLock lock(&mutex_);
  status_ = WithContext("the database stopped writing", ToStatus(*error));
}

void DatabaseWatcher::OnErrorRecoveryEnd(
    const rocksdb::BackgroundErrorRecoveryInfo& info) {
  MutexLock lock(&mutex_);
  status_ = info.new_bg_error.ok()
                ? absl::OkStatus()
                : WithContext("the database cannot resume writing",
                              ToStatus(info.new_bg_error));
}

void DatabaseWatcher::OnFlushCompleted(rocksdb::DB* /*db*/,
                                       const rocksdb::FlushJobInfo& /*info*/) {
  NoteManifest();
}

void DatabaseWatcher::OnCompactionCompleted(
    rocksdb::DB* /*db*/, const rocksdb::CompactionJobInfo& /*info*/) {
  NoteManifest();
}

void DatabaseWatcher::NoteManifest() {
  if (mark_ != nullptr) {
    // The older note still holds; and where the disk fails, the next write
    // finds out.
    mark_->NoteManifest().IgnoreError();
  }
}

absl::Status DatabaseWatcher::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

RocksDbTables::RocksDbTables(const StoreOptions& options, OpenDatabase database)
    : path_(options.path),
      mode_(options.mode),
      min_free_bytes_(options.min_free_bytes),
      database_(std::move(database)) {}

RocksDbTables::~RocksDbTables() {
  for (auto& table : database_.tables) {
    table.reset();
  }
  database_.db.reset();
  if (database_.mark != nullptr) {
    database_.mark->NoteManifest().IgnoreError();  // The older note holds, too.
  }
}

rocksdb::ColumnFamilyHandle* RocksDbTables::handle(Table table) const {
  return database_.tables[static_cast<size_t>(table)].get();
}

absl::StatusOr<std::string> RocksDbTables::Get(Table table,
                                               absl::string_view key) const {
  std::string value;
  const rocksdb::Status status = database_.db->Get(
      rocksdb::ReadOptions(), handle(table), ToSlice(key), &value);
  OVDIFF_RETURN_IF_ERROR(ToStatus(status));
  return value;
}

std::vector<absl::StatusOr<std::string>> RocksDbTables::MultiGet(
    Table table, absl::Span<const std::string> keys) const {
  // One by one: RocksDB 7.8's own MultiGet() asserts that at least one of the
  // blobs it looks up lies within its file, and Debian builds it with
  // assertions: a wrong blob file would end the process (make torture, "blob:
  // swapped"). Blobs are large and read one after the other in either.
  std::vector<absl::StatusOr<std::string>> values;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    values.push_back(Get(table, key));
  }
  return values;
}

absl::Status RocksDbTables::Scan(
    Table table, absl::string_view prefix, absl::string_view after,
    absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) const {
  const std::unique_ptr<rocksdb::Iterator> row(
      database_.db->NewIterator(rocksdb::ReadOptions(), handle(table)));
  row->Seek(ToSlice(std::max(prefix, after)));
  if (!after.empty() && row->Valid() && row->key() == ToSlice(after)) {
    row->Next();
  }
  while (row->Valid() && row->key().starts_with(ToSlice(prefix)) &&
         visit(ToView(row->key()), ToView(row->value()))) {
    row->Next();
  }
  return ToStatus(row->status());
}

absl::Status RocksDbTables::CheckRoom(int64_t bytes) const {
  // What is still in memory will be written to files, too.
  uint64_t unflushed = 0;
  if (!database_.db->GetAggregatedIntProperty(
          rocksdb::DB::Properties::kCurSizeAllMemTables, &unflushed)) {
    return absl::UnavailableError("RocksDB does not tell its memory");
  }
  OVDIFF_ASSIGN_OR_RETURN(const int64_t free, FreeBytes(path_));
  const int64_t needed =
      min_free_bytes_ + bytes + static_cast<int64_t>(unflushed);
  if (free < needed) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the volume of ", path_, " has ", free / kMiB,
        " MiB free, a write needs ", needed / kMiB, " MiB (",
        min_free_bytes_ / kMiB, " MiB kept free, ", unflushed,
        " bytes not yet flushed, ", bytes,
        " bytes to write): free space or enlarge it; reads go on"));
  }
  return absl::OkStatus();
}

absl::Status RocksDbTables::CheckWritable() const {
  OVDIFF_RETURN_IF_ERROR(mode_ == StoreMode::kRecover ? absl::OkStatus()
                                                      : database_.loss);
  if (mode_ == StoreMode::kReadOnly) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the store ", path_,
        " is open read-only (--store-mode read-only): nothing can be changed"));
  }
  return absl::OkStatus();
}

absl::Status RocksDbTables::AcceptState() {
  OVDIFF_RETURN_IF_ERROR(
      database_.mark->Reset(database_.db->GetLatestSequenceNumber()));
  return absl::OkStatus();
}

absl::Status RocksDbTables::Write(const RecordBatch& batch) {
  OVDIFF_RETURN_IF_ERROR(CheckWritable());
  // Each byte is written to the log, and again when it leaves memory.
  const InFlight in_flight(bytes_in_flight_,
                           2 * static_cast<int64_t>(batch.bytes()));
  OVDIFF_RETURN_IF_ERROR(CheckRoom(in_flight.total_now()));
  rocksdb::WriteBatch writes;
  for (const RecordBatch::Edit& edit : batch.edits()) {
    OVDIFF_RETURN_IF_ERROR(
        ToStatus(edit.value.has_value()
                     ? writes.Put(handle(edit.table), edit.key, *edit.value)
                     : writes.Delete(handle(edit.table), edit.key)));
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  options.protection_bytes_per_key = 8;
  OVDIFF_RETURN_IF_ERROR(ToStatus(database_.db->Write(options, &writes)));
  // All writes are synced, so all that are visible by now are durable.
  return database_.mark->Advance(database_.db->GetLatestSequenceNumber());
}

absl::Status RocksDbTables::Health() const {
  OVDIFF_RETURN_IF_ERROR(CheckWritable());
  OVDIFF_RETURN_IF_ERROR(database_.watcher->status());
  return CheckRoom(bytes_in_flight_);
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenRocksDbStore(
    const StoreOptions& options, RecoveryReport* report) {
  const std::string context = absl::StrCat("store ", options.path);
  auto database = OpenDatabaseAt(options);
  if (!database.ok()) {
    return WithContext(context, database.status());
  }
  const bool is_recovering = options.mode == StoreMode::kRecover;
  RecoveryReport actions;
  if (is_recovering && !database->loss.ok()) {
    actions.actions.push_back(absl::StrCat("lost: ", database->loss.message()));
  }
  auto tables = std::make_unique<RocksDbTables>(options, *std::move(database));
  absl::Status status = OpenWith(*tables, options);
  if (status.ok() && is_recovering) {
    status = RepairRecords(*tables, actions);
  }
  if (!status.ok()) {
    return WithContext(context, status);
  }
  auto store = std::make_unique<RecordPrototypeStore>(
      std::move(tables),
      options.float16_payload ? PayloadType::kFloat16 : PayloadType::kFloat32);
  if (is_recovering) {
    status = DropDamagedSets(*store, actions);
    if (!status.ok()) {
      return WithContext(context, status);
    }
  }
  if (report != nullptr) {
    *report = std::move(actions);
  }
  return store;
}

}  // namespace ovdiff::store
