// The steps of opening a database. Included only by the rocksdb_*.cc files of
// this folder.
#ifndef OVDIFF_STORE_ROCKSDB_OPEN_H_
#define OVDIFF_STORE_ROCKSDB_OPEN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/options.h"
#include "store/rocksdb_tables.h"

namespace ovdiff::store {

rocksdb::DBOptions MakeDbOptions(const StoreOptions& options);
// Every family of the database: RocksDB opens all or none. The first is its
// default one, which it insists on; the others are by Table.
std::vector<rocksdb::ColumnFamilyDescriptor> MakeDescriptors(
    const StoreOptions& options);

// Of the write-ahead log in the folder.
int64_t LogBytes(const std::string& path);

// Takes over what DB::Open() gave.
void TakeDatabase(rocksdb::DB* db,
                  const std::vector<rocksdb::ColumnFamilyHandle*>& handles,
                  OpenDatabase& database);

// Why RocksDB did not open the database.
absl::Status OpenError(const StoreOptions& options,
                       const rocksdb::Status& status);

// Opens what is there without changing it, and sees whether that is all that
// was acknowledged: `loss` says so. Fails if nothing can be read, or the format
// is newer. REQUIRES: the caller holds the folder's lock.
absl::StatusOr<OpenDatabase> OpenReadOnly(const StoreOptions& options);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_ROCKSDB_OPEN_H_
