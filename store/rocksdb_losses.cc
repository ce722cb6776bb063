// Opening without changing anything, to see what a database has lost.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "rocksdb/wal_filter.h"
#include "rocksdb/write_batch.h"
#include "store/keys.h"
#include "store/record_codec.h"
#include "store/rocksdb_open.h"

namespace ovdiff::store {
namespace {

// The log's files in the folder, by number.
std::map<uint64_t, std::string> LogFiles(const std::string& folder) {
  std::map<uint64_t, std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder, error), end;
       !error && file != end; file.increment(error)) {
    uint64_t number = 0;
    if (file->path().extension() == ".log" &&
        absl::SimpleAtoi(file->path().stem().string(), &number)) {
      files[number] = file->path().string();
    }
  }
  return files;
}

// Whether a file of the log begins with a whole record: a header of 7 bytes
// (checksum, length, type), in blocks of 32 KiB, as RocksDB's log_format.h
// says. The checksum is left to RocksDB, which does report one that is wrong.
bool BeginsWhole(const std::string& path) {
  constexpr size_t kHeader = 7;
  constexpr size_t kBlock = 32768;
  constexpr char kFull = 1;
  constexpr char kFirst = 2;
  char header[kHeader];
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file.read(header, kHeader)) {
    return false;
  }
  const size_t length = static_cast<unsigned char>(header[4]) +
                        size_t{256} * static_cast<unsigned char>(header[5]);
  const size_t end = kHeader + length;
  return length > 0 && end <= std::min<uintmax_t>(size, kBlock) &&
         (header[6] == kFull || (header[6] == kFirst && end == kBlock));
}

// Sees every write of the log as it is replayed, and whether one is missing
// before, between or after the others: a log file that is gone, or ends early.
// (RocksDB asks that of damage within a file only, and takes some damage, as a
// flipped bit in a record's type, for the end of the file.)
class HoleFinder final : public rocksdb::WalFilter {
 public:
  void ColumnFamilyLogNumberMap(
      const std::map<uint32_t, uint64_t>& oldest_needed,
      const std::map<std::string, uint32_t>& /*ids*/) override {
    for (const auto& [family, number] : oldest_needed) {
      oldest_needed_ = std::min(oldest_needed_, number);
      followed_before_ = std::max(followed_before_, number);
    }
  }

  WalProcessingOption LogRecordFound(unsigned long long log_number,
                                     const std::string& file,
                                     const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch* /*new_batch*/,
                                     bool* /*batch_changed*/) override {
    // A batch begins with the number of its first change.
    uint64_t first = 0;
    if (batch.Count() == 0 || batch.Data().size() < sizeof(first)) {
      return WalProcessingOption::kContinueProcessing;
    }
    std::memcpy(&first, batch.Data().data(), sizeof(first));
    if (next_ != 0 && first != next_ && status_.ok()) {
      status_ = absl::DataLossError(absl::StrCat("its log lacks the changes ",
                                                 next_, " to ", first - 1,
                                                 ", before ", file));
    }
    next_ = first + batch.Count();
    readable_.insert(log_number);
    followed_before_ = std::max<uint64_t>(followed_before_, log_number);
    return WalProcessingOption::kContinueProcessing;
  }

  const char* Name() const override { return "ovdiff.HoleFinder"; }

  // To be called when the log of `folder` has been replayed.
  absl::Status Find(const std::string& folder,
                    const absl::StatusOr<Mark>& mark) const {
    absl::Status status = status_;
    // A new file of the log is begun only when the one before has changes. One
    // that is whole and was not replayed is one that nothing needs any more.
    for (const auto& [number, path] : LogFiles(folder)) {
      if (number >= oldest_needed_ && number < followed_before_ &&
          readable_.find(number) == readable_.end() && !BeginsWhole(path)) {
        status.Update(absl::DataLossError(absl::StrCat(
            "nothing can be read of file ", number, " of its log")));
      }
    }
    // What is in tables may be younger than what only the log has, so that the
    // number that the database reaches does not tell where the log ends.
    if (next_ != 0 && mark.ok() && next_ <= mark->sequence) {
      status.Update(absl::DataLossError(absl::StrCat(
          "its log is damaged: it ends before the change ", next_,
          ", changes up to ", mark->sequence, " were acknowledged")));
    }
    return status;
  }

 private:
  uint64_t oldest_needed_ = std::numeric_limits<uint64_t>::max();
  uint64_t followed_before_ = 0;  // Files of lower numbers have a successor.
  std::set<uint64_t> readable_;   // Files that gave a change.
  uint64_t next_ = 0;
  absl::Status status_;
};

absl::StatusOr<std::string> GetSys(const OpenDatabase& database,
                                   absl::string_view key) {
  std::string bytes;
  OVDIFF_RETURN_IF_ERROR(ToStatus(
      database.db->Get(rocksdb::ReadOptions(),
                       database.tables[static_cast<size_t>(Table::kSys)].get(),
                       std::string(key), &bytes)));
  return bytes;
}

// A database without a format is one whose making was interrupted.
absl::Status CheckFormat(const OpenDatabase& database) {
  const auto bytes = GetSys(database, kStoreFormatKey);
  if (absl::IsNotFound(bytes.status())) {
    return absl::OkStatus();
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

// Whether what was recovered reaches as far as what was acknowledged.
absl::Status CheckReach(const OpenDatabase& database,
                        const absl::StatusOr<Mark>& mark) {
  if (absl::IsNotFound(mark.status())) {
    // As the first programs left it; unless this database has had a mark.
    const auto note = GetSys(database, kMarkNoteKey);
    return absl::IsNotFound(note.status())
               ? absl::OkStatus()
               : absl::DataLossError(
                     "its file ACKED is gone, so it cannot be told whether all "
                     "acknowledged writes are there");
  }
  OVDIFF_RETURN_IF_ERROR(mark.status());
  const uint64_t reached = database.db->GetLatestSequenceNumber();
  if (reached < mark->sequence) {
    return absl::DataLossError(absl::StrCat(
        "its log is damaged: changes up to number ", mark->sequence,
        " were acknowledged, up to number ", reached, " can be recovered; ",
        mark->sequence - reached, " are missing"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OpenDatabase> OpenReadOnly(const StoreOptions& options) {
  const absl::StatusOr<Mark> mark = ReadMark(options.path);
  OpenDatabase database;
  if (mark.ok()) {
    database.loss = CheckManifest(options.path, *mark);
  }
  HoleFinder holes;
  rocksdb::DBOptions db_options = MakeDbOptions(options);
  db_options.wal_filter = &holes;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly(
      db_options, options.path, MakeDescriptors(options), &handles, &db);
  if (!opened.ok()) {
    // What the mark has told says more than where RocksDB stumbled.
    return database.loss.ok() ? OpenError(options, opened) : database.loss;
  }
  database.watcher = std::make_shared<DatabaseWatcher>(nullptr);
  TakeDatabase(db, handles, database);
  OVDIFF_RETURN_IF_ERROR(CheckFormat(database));
  database.loss.Update(holes.Find(options.path, mark));
  database.loss.Update(CheckReach(database, mark));
  return database;
}

}  // namespace ovdiff::store
