// The store's database without the store: for tests that damage it.
#ifndef OVDIFF_TESTS_STORE_RAW_DATABASE_H_
#define OVDIFF_TESTS_STORE_RAW_DATABASE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "rocksdb/db.h"

namespace ovdiff::store {

// The store must be closed. Failures fail the test.
class RawDatabase {
 public:
  explicit RawDatabase(const std::string& path);
  ~RawDatabase();
  RawDatabase(const RawDatabase&) = delete;
  RawDatabase& operator=(const RawDatabase&) = delete;

  std::string Get(const std::string& table, const std::string& key);
  void Put(const std::string& table, const std::string& key,
           const std::string& value);
  // Flips a bit in the middle of a value.
  void Damage(const std::string& table, const std::string& key);
  void AddTable(const std::string& table);
  // Memory to files, and the log emptied.
  void Flush();
  // One table's memory to a file; the log goes on in a new file.
  void FlushTable(const std::string& table);
  // Number of the last write.
  uint64_t Sequence() const { return db_->GetLatestSequenceNumber(); }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  std::map<std::string, rocksdb::ColumnFamilyHandle*> handles_;
};

// Files of the database with this extension (".sst", ".blob"), by name.
std::vector<std::string> FilesOf(const std::string& path,
                                 absl::string_view extension);

// Flips a bit of the byte at `offset`.
void FlipByte(const std::string& file, size_t offset);

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_RAW_DATABASE_H_
