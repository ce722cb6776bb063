#include "tests/store/torture/disk_faults.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/store/torture/child.h"
#include "tests/store/torture/crasher.h"
#include "tests/store/torture/fault_run.h"

namespace ovdiff::store::torture {
namespace {

constexpr auto kWal = FileKind::kWal;
constexpr auto kTable = FileKind::kTable;
constexpr auto kBlob = FileKind::kBlob;
constexpr auto kManifest = FileKind::kManifest;
constexpr auto kAnyFile = FileKind::kAny;
constexpr auto kAnyThread = FaultThread::kAny;
constexpr auto kFlush = FaultThread::kFlush;
constexpr auto kCompaction = FaultThread::kCompaction;

// From the first call that matches (or a later one, at random) until the parent
// heals the disk, all that match fail.
constexpr DiskFault kFaults[] = {
    {"ENOSPC at WAL write", FileOp::kWrite, kWal, kAnyThread, ENOSPC, false,
     200},
    {"ENOSPC at WAL creation", FileOp::kOpen, kWal, kAnyThread, ENOSPC, true},
    {"ENOSPC at flush", FileOp::kWrite, kTable, kFlush, ENOSPC, false},
    {"ENOSPC at blob write", FileOp::kWrite, kBlob, kFlush, ENOSPC, false, 3},
    {"ENOSPC at compaction", FileOp::kWrite, kAnyFile, kCompaction, ENOSPC,
     true},
    {"ENOSPC at open, tables", FileOp::kWrite, kTable, kAnyThread, ENOSPC, true,
     3},
    {"ENOSPC at open, blobs", FileOp::kWrite, kBlob, kAnyThread, ENOSPC, true},
    {"ENOSPC at open, manifest", FileOp::kWrite, kManifest, kAnyThread, ENOSPC,
     true, 5},
    {"ENOSPC at open, anything", FileOp::kWrite, kAnyFile, kAnyThread, ENOSPC,
     true, 12},
    {"ENOSPC anywhere", FileOp::kWrite, kAnyFile, kAnyThread, ENOSPC, false,
     100},
    {"EIO at WAL write", FileOp::kWrite, kWal, kAnyThread, EIO, false, 200},
    {"EIO at WAL sync", FileOp::kSync, kWal, kAnyThread, EIO, false, 100},
    {"EIO at flush", FileOp::kWrite, kTable, kFlush, EIO, false},
    {"EIO at table sync", FileOp::kSync, kTable, kAnyThread, EIO, false},
    {"EIO at blob sync", FileOp::kSync, kBlob, kAnyThread, EIO, false},
    {"EIO at compaction", FileOp::kWrite, kAnyFile, kCompaction, EIO, true},
    {"EIO at manifest sync", FileOp::kSync, kManifest, kAnyThread, EIO, true,
     4},
    {"EIO at folder sync", FileOp::kSync, FileKind::kFolder, kAnyThread, EIO,
     true, 5},
    {"EIO at sync of other files", FileOp::kSync, FileKind::kOther, kAnyThread,
     EIO, false, 40},
    {"ENOSPC at other files", FileOp::kWrite, FileKind::kOther, kAnyThread,
     ENOSPC, false, 40},
    {"ENOSPC at backup", FileOp::kWrite, FileKind::kBackup, kAnyThread, ENOSPC,
     false, 30, true},
    {"EIO at backup", FileOp::kSync, FileKind::kBackup, kAnyThread, EIO, false,
     10, true},
    {"ENOSPC at compaction by hand", FileOp::kWrite, kTable, kCompaction,
     ENOSPC, false, 5, true},
    {"EIO at rename of CURRENT", FileOp::kRename, FileKind::kCurrent,
     kAnyThread, EIO, true},
    {"EIO at removal", FileOp::kRemove, kAnyFile, kAnyThread, EIO, true},
    {"EIO at read of tables", FileOp::kRead, kTable, kAnyThread, EIO, false,
     20},
    {"EIO at read of blobs", FileOp::kRead, kBlob, kAnyThread, EIO, false, 20},
    {"EIO at open, reading", FileOp::kRead, kAnyFile, kAnyThread, EIO, true,
     10},
    {"EMFILE", FileOp::kOpen, kAnyFile, kAnyThread, EMFILE, true, 8},
    {"EROFS", FileOp::kOpen, kAnyFile, kAnyThread, EROFS, true},
};

}  // namespace

void FaultRow::Add(const FaultRow& more) {
  runs += more.runs;
  for (const auto& [outcome, number] : more.outcomes) {
    outcomes[outcome] += number;
  }
  acknowledged += more.acknowledged;
  lost += more.lost;
  torn += more.torn;
  if (first_problem.empty()) {
    first_problem = more.first_problem;
  }
}

std::vector<FaultRow> InjectDiskFaults(const DiskFaultOptions& options) {
  std::vector<FaultRow> rows;
  for (const DiskFault& fault : kFaults) {
    if (absl::StrContains(fault.name, options.only)) {
      FaultRun run(options, fault.name);
      for (int i = 0; i < options.runs && run.row().kept_all(); ++i) {
        run.Meet(fault);
      }
      rows.push_back(run.row());
    }
  }
  return rows;
}

}  // namespace ovdiff::store::torture
