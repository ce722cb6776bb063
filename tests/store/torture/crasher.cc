#include "tests/store/torture/crasher.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/store/torture/caretaker.h"

namespace ovdiff::store::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kHangMs = 120'000;

// Where a child can be killed but at random: each is a line of store and
// RocksDB that must be safe to die at.
struct Failpoint {
  const char* name;
  FileOp op;
  FileKind kind;
  FaultThread thread = FaultThread::kAny;
  int max_countdown = 0;
};
constexpr Failpoint kFailpoints[] = {
    {"wal write", FileOp::kWrite, FileKind::kWal, FaultThread::kAny, 200},
    {"wal sync", FileOp::kSync, FileKind::kWal, FaultThread::kAny, 100},
    {"wal creation", FileOp::kOpen, FileKind::kWal},
    {"sst write", FileOp::kWrite, FileKind::kTable, FaultThread::kAny, 8},
    {"sst sync", FileOp::kSync, FileKind::kTable, FaultThread::kAny, 5},
    {"blob write", FileOp::kWrite, FileKind::kBlob, FaultThread::kAny, 4},
    {"blob sync", FileOp::kSync, FileKind::kBlob},
    {"compaction write", FileOp::kWrite, FileKind::kAny,
     FaultThread::kCompaction, 4},
    {"manifest write", FileOp::kWrite, FileKind::kManifest, FaultThread::kAny,
     8},
    {"manifest sync", FileOp::kSync, FileKind::kManifest, FaultThread::kAny, 4},
    {"current write", FileOp::kWrite, FileKind::kCurrent},
    {"current rename", FileOp::kRename, FileKind::kCurrent},
    {"options rename", FileOp::kRename, FileKind::kOptions},
    {"folder sync", FileOp::kSync, FileKind::kFolder, FaultThread::kAny, 6},
    {"removal", FileOp::kRemove, FileKind::kAny, FaultThread::kAny, 8},
    {"other write", FileOp::kWrite, FileKind::kOther, FaultThread::kAny, 100},
    {"other sync", FileOp::kSync, FileKind::kOther, FaultThread::kAny, 100},
};
constexpr FaultAction kKills[] = {
    FaultAction::kKillBefore, FaultAction::kKillAfter, FaultAction::kKillTorn};
constexpr const char* kKillNames[] = {" before", " after", " torn"};

class Campaign {
 public:
  explicit Campaign(const CrashOptions& options)
      : options_(options),
        random_(options.seed),
        shared_(*NewSharedState()),
        path_(options.folder + "/db") {
    fs::remove_all(options.folder);
    fs::create_directories(path_ + ".trash");
    path_.copy(shared_.faults.root.data(), path_.size());
    shared_.faults.keep_journal = options.power_loss;
    shared_.faults.syncs_lie = options.syncs_lie;
  }

  CrashReport Run() {
    const absl::Time start = absl::Now();
    while (report_.first_problem.empty() &&
           (report_.kills < options_.min_kills ||
            shared_.acknowledged < options_.min_acknowledged)) {
      Round();
    }
    if (report_.first_problem.empty()) {
      CheckAtTheEnd(RunChild);
    }
    if (report_.first_problem.empty() && shared_.backups > 0) {
      CheckAtTheEnd(CheckBackup);
    }
    report_.care_rounds = shared_.care_rounds;
    report_.backups = shared_.backups;
    report_.acknowledged = shared_.acknowledged;
    report_.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    return report_;
  }

 private:
  int Random(int bound) {
    return static_cast<int>(random_() % static_cast<uint64_t>(bound));
  }

  ChildOptions MakeChild() {
    ResetChild(shared_);
    return {.path = path_,
            .workload = options_.workload,
            .seed = random_(),
            .full_check = report_.kills % options_.full_check_every ==
                          options_.full_check_every - 1,
            .max_clock_jump_seconds = options_.max_clock_jump_seconds,
            .look_after = options_.look_after};
  }

  // Sets a failpoint; its name.
  std::string SetFailpoint(ChildOptions& child) {
    const Failpoint& point = kFailpoints[Random(std::size(kFailpoints))];
    const int how = Random(point.op == FileOp::kWrite ? 3 : 2);
    FaultPlan& plan = shared_.faults.plan;
    plan.op = point.op;
    plan.kind = point.kind;
    plan.thread = point.thread;
    plan.countdown = Random(point.max_countdown + 1);
    // Half of them from the first call on: recovery has its own of each.
    if (Random(2) == 0) {
      plan.action = kKills[how];
    } else {
      child.action_when_writing = kKills[how];
    }
    return std::string(point.name) + kKillNames[how];
  }

  void Round() {
    ChildOptions child = MakeChild();
    std::string kill = "random";
    const int choice = Random(10);
    if (choice < 4) {
      kill = SetFailpoint(child);
    } else if (choice == 4) {
      kill = "while opening";
    }
    const pid_t pid =
        Fork(options_.folder + "/child.log", [&] { RunChild(child, shared_); });
    if (kill == "while opening") {
      absl::SleepFor(absl::Microseconds(Random(120'000)));
    } else if (WaitPast(Phase::kOpening, pid, kHangMs, shared_) &&
               WaitPast(Phase::kChecking, pid, kHangMs, shared_)) {
      WaitPast(Phase::kWriting, pid, 10 + Random(options_.max_writing_ms),
               shared_);
    }
    // What a damaged store says must be said whole.
    const bool has_said =
        shared_.phase == Phase::kRefused || shared_.phase == Phase::kDamaged;
    Judge(kill, WaitOrKill(pid, has_said ? kHangMs : 0));
    if (options_.power_loss && report_.first_problem.empty()) {
      LosePowerNow();
    }
  }

  void LosePowerNow() {
    const auto how = static_cast<PowerLoss>(Random(3));
    const PowerLossCounts counts = LosePower(how, random_, shared_.faults);
    report_.dropped_bytes += counts.bytes;
    report_.dropped_names += counts.names;
  }

  void Judge(std::string kill, int status) {
    Account();
    const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (was_killed) {
      if (kill != "random" && kill != "while opening" &&
          shared_.faults.plan.hits == 0) {
        kill = "random";  // The point was not reached in time.
      }
      ++report_.kills;
      ++report_.kills_at[kill];
    }
    const bool is_bad =
        shared_.phase == Phase::kRefused || shared_.phase == Phase::kDamaged;
    if (is_bad) {
      Problem(shared_.words.data());
    } else if (!was_killed) {
      Problem(absl::StrCat("the child ended by itself, wait status ", status,
                           "; see child.log"));
    }
  }

  // What the child found.
  void Account() {
    report_.lost += shared_.check.missing + shared_.reads.missing;
    report_.torn += shared_.check.differing + shared_.check.refused +
                    shared_.reads.differing + shared_.reads.refused;
    report_.verified += shared_.check.exact;
    report_.reads += shared_.reads.exact;
    int64_t failures = shared_.care_failures;
    for (const auto& failure : shared_.failures) {
      failures += failure;
    }
    report_.refused_writes += failures;
    if (shared_.reads.missing + shared_.reads.differing +
            shared_.reads.refused + failures >
        0) {
      Problem(shared_.words.data());
    }
  }

  void Problem(const std::string& words) {
    if (report_.first_problem.empty()) {
      report_.first_problem = absl::StrCat("kill ", report_.kills, ": ", words,
                                           " (the store is in ", path_, ")");
      // A store that does not open has lost what it holds.
      if (shared_.phase == Phase::kRefused) {
        ++report_.torn;
      }
    }
  }

  void CheckAtTheEnd(void (*check)(const ChildOptions&, SharedState&)) {
    ChildOptions child = MakeChild();
    child.full_check = true;
    shared_.stop = true;  // As soon as it would write.
    const pid_t pid =
        Fork(options_.folder + "/child.log", [&] { check(child, shared_); });
    const int status = WaitOrKill(pid, kHangMs);
    Account();
    if (shared_.phase != Phase::kEnded) {
      Problem(shared_.has_words
                  ? shared_.words.data()
                  : absl::StrCat("the last check ended with ", status));
    }
  }

  const CrashOptions options_;
  std::mt19937_64 random_;
  SharedState& shared_;
  std::string path_;
  CrashReport report_;
};

}  // namespace

int WaitOrKill(pid_t pid, int milliseconds) {
  const absl::Time end = absl::Now() + absl::Milliseconds(milliseconds);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (milliseconds >= 0 && absl::Now() >= end) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      break;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  return status;
}

bool WaitPast(Phase phase, pid_t pid, int milliseconds, SharedState& shared) {
  const absl::Time end = absl::Now() + absl::Milliseconds(milliseconds);
  while (shared.phase <= phase) {
    siginfo_t info{};
    // Gone, and left for waitpid().
    if (waitid(P_PID, static_cast<id_t>(pid), &info,
               WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == pid) {
      return true;
    }
    if (absl::Now() >= end) {
      return false;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

CrashReport Crash(const CrashOptions& options) {
  return Campaign(options).Run();
}

}  // namespace ovdiff::store::torture
