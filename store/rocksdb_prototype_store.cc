#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "rocksdb/write_batch.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"
#include "store/record_prototype_store.h"
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

// A new database gets the current format; another is read and judged.
absl::Status CheckFormat(RocksDbTables& tables) {
  const auto bytes = tables.Get(Table::kSys, kStoreFormatKey);
  if (absl::IsNotFound(bytes.status())) {
    RecordBatch batch;
    batch.Put(Table::kSys, std::string(kStoreFormatKey),
              EncodeStoreFormat({.create_time = absl::Now()}));
    return tables.Write(batch);
  }
  OVDIFF_RETURN_IF_ERROR(bytes.status());
  OVDIFF_ASSIGN_OR_RETURN(const StoreFormat format, DecodeStoreFormat(*bytes));
  if (format.min_reader_version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the database is of format ", format.format_version,
        " and needs a program that reads format ", format.min_reader_version,
        "; this one reads up to format ", kFormatVersion, ": use a newer one"));
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

void BackgroundErrors::OnBackgroundError(
    rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status* error) {
  MutexLock lock(&mutex_);
  status_ = WithContext("the database stopped writing", ToStatus(*error));
}

void BackgroundErrors::OnErrorRecoveryEnd(
    const rocksdb::BackgroundErrorRecoveryInfo& info) {
  MutexLock lock(&mutex_);
  status_ = info.new_bg_error.ok()
                ? absl::OkStatus()
                : WithContext("the database cannot resume writing",
                              ToStatus(info.new_bg_error));
}

absl::Status BackgroundErrors::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

RocksDbTables::RocksDbTables(const StoreOptions& options, OpenDatabase database)
    : path_(options.path),
      min_free_bytes_(options.min_free_bytes),
      database_(std::move(database)) {}

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

absl::Status RocksDbTables::Write(const RecordBatch& batch) {
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
  return ToStatus(database_.db->Write(options, &writes));
}

absl::StatusOr<int64_t> RocksDbTables::DiskBytes() const {
  rocksdb::VectorLogPtr logs;
  OVDIFF_RETURN_IF_ERROR(ToStatus(database_.db->GetSortedWalFiles(logs)));
  uint64_t bytes = 0;
  for (const std::unique_ptr<rocksdb::LogFile>& log : logs) {
    bytes += log->SizeFileBytes();
  }
  for (const auto& table : database_.tables) {
    for (const std::string* property :
         {&rocksdb::DB::Properties::kLiveSstFilesSize,
          &rocksdb::DB::Properties::kLiveBlobFileSize}) {
      uint64_t value = 0;
      if (!database_.db->GetIntProperty(table.get(), *property, &value)) {
        return absl::UnavailableError(
            absl::StrCat("RocksDB does not tell ", *property));
      }
      bytes += value;
    }
  }
  return static_cast<int64_t>(bytes);
}

absl::Status RocksDbTables::Health() const {
  OVDIFF_RETURN_IF_ERROR(database_.background_errors->status());
  return CheckRoom(bytes_in_flight_);
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenRocksDbStore(
    const StoreOptions& options) {
  const std::string context = absl::StrCat("store ", options.path);
  auto database = OpenDatabaseAt(options);
  if (!database.ok()) {
    return WithContext(context, database.status());
  }
  auto tables = std::make_unique<RocksDbTables>(options, *std::move(database));
  const absl::Status status = CheckFormat(*tables);
  if (!status.ok()) {
    return WithContext(context, status);
  }
  return std::make_unique<RecordPrototypeStore>(
      std::move(tables),
      options.float16_payload ? PayloadType::kFloat16 : PayloadType::kFloat32);
}

}  // namespace ovdiff::store
