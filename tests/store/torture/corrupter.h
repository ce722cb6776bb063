// Damages the files of a closed store, one at a time, and looks at what is
// served afterwards.
#ifndef OVDIFF_TESTS_STORE_TORTURE_CORRUPTER_H_
#define OVDIFF_TESTS_STORE_TORTURE_CORRUPTER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/store/torture/child.h"

namespace ovdiff::store::torture {

struct CorruptionOptions {
  std::string
      folder;  // Emptied. Best in memory: each injection copies a store.
  Workload workload = {};
  uint64_t seed = 1;
  int64_t injections = 1000;
  int64_t min_acknowledged = 1500;  // In the store that is damaged.
};

struct CorruptionReport {
  int64_t injected = 0;
  // By (kind of file, kind of damage), how it ended:
  //   open refused    with the store's path in the message
  //   record refused  and everything else served as it was written
  //   verify says     every record is served as it was written, and a
  //                   verification tells of the damage
  //   no effect       every record is served as it was written
  //   stopped         the process ended by a signal; nothing was served
  // Broken promises:
  //   served damaged, vanished (an acknowledged record is not there, without a
  //   word of damage), unnamed (refused, but not which), hung
  std::map<std::pair<std::string, std::string>, std::map<std::string, int64_t>>
      rows;
  int64_t served_damaged = 0;
  int64_t vanished = 0;
  int64_t unnamed = 0;
  int64_t stopped = 0;
  int64_t hung = 0;
  std::vector<std::string> problems;  // One for each kind of row at most.
  double seconds = 0;

  bool all_reported() const {
    return served_damaged + vanished + unnamed + stopped + hung == 0;
  }
};

CorruptionReport Corrupt(const CorruptionOptions& options);

// Makes a store with tables, blob files and a log that is not yet in them, as
// kill -9 leaves it; `shared` has the operations that are in it.
void MakeStore(const std::string& folder, const Workload& workload,
               uint64_t seed, int64_t min_acknowledged, SharedState& shared);

// Opens the store in `path` in a child, compares everything with the oracle of
// `shared`, and says how it ended, as above.
std::string Inspect(const std::string& path, const std::string& log,
                    const Workload& workload, SharedState& shared);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_CORRUPTER_H_
