#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "engine/base/mutex.h"
#include "store/prototype_store.h"
#include "store/record_prototype_store.h"
#include "store/record_tables.h"

namespace ovdiff::store {
namespace {

// Thread-safe. Keeps the same bytes as the disk would, so that the same checks
// run.
class InMemoryTables final : public RecordTables {
 public:
  absl::StatusOr<std::string> Get(Table table,
                                  absl::string_view key) const override {
    MutexLock lock(&mutex_);
    const Rows& rows = tables_[static_cast<size_t>(table)];
    const auto found = rows.find(key);
    if (found == rows.end()) {
      return absl::NotFoundError("not in the store");
    }
    return found->second;
  }

  absl::Status Scan(
      Table table, absl::string_view prefix, absl::string_view after,
      absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit)
      const override {
    MutexLock lock(&mutex_);
    const Rows& rows = tables_[static_cast<size_t>(table)];
    auto row =
        after > prefix ? rows.upper_bound(after) : rows.lower_bound(prefix);
    while (row != rows.end() && absl::StartsWith(row->first, prefix) &&
           visit(row->first, row->second)) {
      ++row;
    }
    return absl::OkStatus();
  }

  absl::Status Write(const RecordBatch& batch) override {
    MutexLock lock(&mutex_);
    for (const RecordBatch::Edit& edit : batch.edits()) {
      Rows& rows = tables_[static_cast<size_t>(edit.table)];
      if (edit.value.has_value()) {
        rows.insert_or_assign(edit.key, *edit.value);
      } else {
        rows.erase(edit.key);
      }
    }
    return absl::OkStatus();
  }

  std::vector<absl::StatusOr<std::string>> MultiGet(
      Table table, absl::Span<const std::string> keys) const override {
    std::vector<absl::StatusOr<std::string>> values;
    for (const std::string& key : keys) {
      values.push_back(Get(table, key));
    }
    return values;
  }

  absl::Status Health() const override { return absl::OkStatus(); }
  absl::Status AddDiskStats(StoreStats&) const override {
    return absl::OkStatus();
  }
  absl::Status CheckFiles() const override { return absl::OkStatus(); }
  absl::StatusOr<BackupInfo> Backup(const BackupOptions&,
                                    const CallControl&) override {
    return absl::FailedPreconditionError(
        "a store in memory has no backup; run the server with a folder as its "
        "store");
  }
  absl::Status Compact(const CallControl&) override { return absl::OkStatus(); }

 private:
  using Rows = std::map<std::string, std::string, std::less<>>;

  mutable Mutex mutex_;
  std::array<Rows, kTableNames.size()> tables_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<PrototypeStore> NewInMemoryStore() {
  return std::make_unique<RecordPrototypeStore>(
      std::make_unique<InMemoryTables>(), PayloadType::kFloat32);
}

}  // namespace ovdiff::store
