// Rows of a table, some at a time: for what must write, or take long, between
// them.
#ifndef OVDIFF_STORE_RECORD_PAGES_H_
#define OVDIFF_STORE_RECORD_PAGES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"
#include "store/record_tables.h"

namespace ovdiff::store {

// Calls `visit(key, value)`, which returns a Status, for the rows that begin
// with `prefix`; rows that come or go meanwhile may be seen or not. Ends with
// the first error. For small rows only: a page of them is held in memory.
template <typename Visit>
absl::Status ForEachRow(const RecordTables& tables, Table table,
                        absl::string_view prefix, Visit visit) {
  constexpr size_t kPageRows = 256;
  std::vector<std::pair<std::string, std::string>> page;
  std::string after;
  do {
    page.clear();
    OVDIFF_RETURN_IF_ERROR(
        tables.Scan(table, prefix, after,
                    [&page](absl::string_view key, absl::string_view value) {
                      page.emplace_back(key, value);
                      return page.size() < kPageRows;
                    }));
    for (const auto& [key, value] : page) {
      OVDIFF_RETURN_IF_ERROR(visit(key, value));
      after = key;
    }
  } while (page.size() == kPageRows);
  return absl::OkStatus();
}

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_RECORD_PAGES_H_
