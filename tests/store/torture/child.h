// A process that opens a store, checks it against the oracle, and writes until
// it is killed or told to stop. The oracle and all that it says are in memory
// shared with its parent, which stays free of RocksDB and of threads.
#ifndef OVDIFF_TESTS_STORE_TORTURE_CHILD_H_
#define OVDIFF_TESTS_STORE_TORTURE_CHILD_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "tests/store/torture/checker.h"
#include "tests/store/torture/fault_calls.h"
#include "tests/store/torture/workload.h"

namespace ovdiff::store::torture {

inline constexpr int kMaxWriters = 32;

enum class Phase : uint8_t {
  kOpening,
  kRefused,  // The store was not opened; `words` says why.
  kChecking,
  kDamaged,  // The check found something; `words` is the first of it.
  kWriting,
  kEnded,
};

// Findings, without a string.
struct SharedFindings {
  std::atomic<int64_t> exact{0};
  std::atomic<int64_t> missing{0};
  std::atomic<int64_t> differing{0};
  std::atomic<int64_t> refused{0};
  std::atomic<int64_t> unnamed{0};
};

struct SharedState {
  FaultState faults;

  // The oracle: operations of each writer that are done. Grows after a write
  // has returned OK, and when the check finds the one that was in flight.
  std::array<std::atomic<int64_t>, kMaxWriters> done{};
  // Those of them that the check of an earlier child has seen.
  std::array<std::atomic<int64_t>, kMaxWriters> seen{};
  std::atomic<int64_t> acknowledged{0};

  // Of the current child.
  std::atomic<Phase> phase{Phase::kOpening};
  std::atomic<bool> stop{false};
  std::atomic<int> open_code{0};
  SharedFindings check;
  SharedFindings reads;  // While others write.
  // Writes that failed, by absl::StatusCode.
  std::array<std::atomic<int64_t>, 32> failures{};
  std::atomic<int64_t> care_failures{0};  // Verify, backup and the others.
  // Over all children: rounds of care, whole backups, and the operations of
  // each writer that were done when the last of them was begun.
  std::atomic<int64_t> care_rounds{0};
  std::atomic<int64_t> backups{0};
  std::array<std::atomic<int64_t>, kMaxWriters> backed_up{};
  std::array<char, 600> words{};
  std::atomic<bool> has_words{false};
};

struct ChildOptions {
  std::string path;
  Workload workload = {};
  uint64_t seed = 0;
  int64_t min_free_bytes = 0;
  // Check all blocks, not only new ones and some of the others.
  bool full_check = false;
  bool check = true;
  // What the fault plan's action becomes when writing begins; kNone: nothing.
  FaultAction action_when_writing = FaultAction::kNone;
  int max_clock_jump_seconds = 0;  // At random, while it writes.
  bool look_after = false;         // As caretaker.h says, while it writes.
};

// New shared memory; lives until the end of the process.
SharedState* NewSharedState();
// Makes what the last child left ready for the next: all but the oracle.
void ResetChild(SharedState& shared);

// Forks a child that runs `body`, its errors going to `log`. REQUIRES: no
// thread but this one.
pid_t Fork(const std::string& log, const std::function<void()>& body);

// What the child does.
void RunChild(const ChildOptions& options, SharedState& shared);

// The first words of a child.
void Say(const std::string& words, SharedState& shared);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_CHILD_H_
