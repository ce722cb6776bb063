// Kills a writing process again and again, and holds the store to what was
// acknowledged.
#ifndef OVDIFF_TESTS_STORE_TORTURE_CRASHER_H_
#define OVDIFF_TESTS_STORE_TORTURE_CRASHER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "tests/store/torture/child.h"
#include "tests/store/torture/power_loss.h"

namespace ovdiff::store::torture {

struct CrashOptions {
  std::string folder;  // Emptied; the store is in "db" below it.
  Workload workload = {};
  uint64_t seed = 1;
  // It ends when both are reached.
  int64_t min_kills = 200;
  int64_t min_acknowledged = 100'000;
  // The longest that a child may write before it is killed.
  int max_writing_ms = 300;
  int full_check_every = 10;  // Kills; and at the end.
  // Each kill takes the power as well.
  bool power_loss = false;
  bool syncs_lie = false;
  int max_clock_jump_seconds = 0;
  // Somebody compacts, collects garbage, verifies and backs up meanwhile; at
  // the end the newest backup is restored and compared.
  bool look_after = false;
};

struct CrashReport {
  int64_t kills = 0;
  int64_t acknowledged = 0;
  int64_t lost = 0;
  int64_t torn = 0;  // Differing, refused, or there by half.
  int64_t refused_writes =
      0;                 // Without a reason: there was no fault but kills.
  int64_t reads = 0;     // While others wrote; all of them exact unless lost.
  int64_t verified = 0;  // Records read after kills.
  // Kills by what they met: "random", "while opening", "wal write torn", …
  std::map<std::string, int64_t> kills_at;
  int64_t dropped_bytes = 0;  // By power loss.
  int64_t dropped_names = 0;
  int64_t care_rounds = 0;
  int64_t backups = 0;  // Whole ones.
  double seconds = 0;
  std::string first_problem;

  bool kept_all() const {
    return lost == 0 && torn == 0 && refused_writes == 0 &&
           first_problem.empty();
  }
};

// Stops at the first broken promise.
CrashReport Crash(const CrashOptions& options);

// Waits until the child is gone, or kills it after `milliseconds` (-1: never).
// Returns its wait status.
int WaitOrKill(pid_t pid, int milliseconds);
// Waits until it has left `phase` or is gone; false: `milliseconds` have
// passed.
bool WaitPast(Phase phase, pid_t pid, int milliseconds, SharedState& shared);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_CRASHER_H_
