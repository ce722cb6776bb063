// Faults at the line between a program and its kernel: the executable that
// links this defines write(), fsync(), rename() and the others itself, so that
// every file operation of RocksDB, of the C++ library and of ours passes here,
// whoever makes it. Without an installed FaultState they do what libc's do.
//
// RocksDB has a FaultInjectionTestFS; it stays out of Debian's headers, and
// would not see files that are not RocksDB's.
#ifndef OVDIFF_TESTS_STORE_TORTURE_FAULT_CALLS_H_
#define OVDIFF_TESTS_STORE_TORTURE_FAULT_CALLS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tests/store/torture/file_kind.h"

namespace ovdiff::store::torture {

enum class FileOp : uint8_t { kOpen, kWrite, kSync, kRename, kRemove, kRead };

enum class FaultAction : uint8_t {
  kNone,
  kKillBefore,  // SIGKILL to ourselves instead of the call
  kKillAfter,
  kKillTorn,  // a write: half of it, then SIGKILL
  kFail,      // -1 and `error`
};

// Of RocksDB's pools, known by their threads' names.
enum class FaultThread : uint8_t { kAny, kFlush, kCompaction };

// What happens to which call. In memory shared with the parent, which may clear
// `action` at any time: then space returns or the disk is well again.
struct FaultPlan {
  std::atomic<FaultAction> action{FaultAction::kNone};
  FileOp op = FileOp::kWrite;
  FileKind kind = FileKind::kAny;
  FaultThread thread = FaultThread::kAny;
  int error = 0;
  // Matching calls that pass before the first fault.
  std::atomic<int64_t> countdown{0};
  // Calls that met the fault.
  std::atomic<int64_t> hits{0};
};

enum class JournalOp : uint8_t {
  kNone,        // Not written whole: the child was killed.
  kCreate,      // path
  kOpen,        // path, which was there with `size` bytes
  kRemove,      // path; kept as `other`
  kRename,      // path to `other`; what was there is kept as `kept`
  kOverwrite,   // path, at `offset`: `size` bytes, which were `before`
  kSync,        // path's first `size` bytes are durable
  kSyncFailed,  // path's bytes up to `size` that were not durable never will be
  kFolderSync,  // what happened to names in folder `path` is durable
};

// The most that may be written over what is there: a sector of a disk.
inline constexpr size_t kMaxOverwrite = 512;

struct JournalEntry {
  // Written last, and before what it tells of is done; but a sync after it.
  std::atomic<JournalOp> op;
  int64_t size = 0;
  int64_t offset = 0;
  std::array<char, 144> path;
  std::array<char, 144> other;
  std::array<char, 144> kept;
  std::array<char, kMaxOverwrite> before;
};

inline constexpr int64_t kMaxJournal = 1 << 17;

// One child's faults, in memory shared with its parent. Thread-safe.
struct FaultState {
  // Only paths that begin so are looked at.
  std::array<char, 144> root{};
  FaultPlan plan;
  std::atomic<int64_t> clock_offset_seconds{0};  // Of the wall clock.
  // Keep what LosePower() needs; syncs are then noted instead of made, and
  // removed files move to `root` + ".trash", which must exist.
  bool keep_journal = false;
  // The disk says that it synced and did not: a check of the checkers.
  bool syncs_lie = false;
  std::atomic<int64_t> journal_size{0};
  std::array<JournalEntry, kMaxJournal> journal;
};

// From now on `state` rules this process's calls. Null: none does.
void InstallFaults(FaultState* state);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_FAULT_CALLS_H_
