#include "tests/store/torture/fault_run.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/store/torture/crasher.h"

namespace ovdiff::store::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kHangMs = 60'000;
// Memory is flushed at 16 MiB a table: with this many large sets in a second or
// two.
constexpr Workload kWorkload = {
    .writers = 6, .large_every = 4, .collects_garbage = true};

bool IsGone(pid_t pid) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid), &info,
                WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == pid;
}

// Waits until `is_so` or the child is gone; false: time is over.
template <typename Condition>
bool WaitUntil(pid_t pid, int milliseconds, const Condition& is_so) {
  const absl::Time end = absl::Now() + absl::Milliseconds(milliseconds);
  while (!is_so() && !IsGone(pid)) {
    if (absl::Now() > end) {
      return false;
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace

FaultRun::FaultRun(const DiskFaultOptions& options, std::string name)
    : options_(options),
      random_(options.seed),
      shared_(*NewSharedState()),
      path_(options.folder + "/db"),
      log_(options.folder + ".log") {
  row_.name = std::move(name);
  fs::create_directories(options.folder);
  // Not the folder itself: a volume may be mounted there.
  for (const auto& file : fs::directory_iterator(options.folder)) {
    fs::remove_all(file);
  }
  path_.copy(shared_.faults.root.data(), path_.size());
}

ChildOptions FaultRun::MakeChild() {
  ResetChild(shared_);
  return {.path = path_,
          .workload = kWorkload,
          .seed = random_(),
          .min_free_bytes = min_free_bytes_};
}

pid_t FaultRun::Start(const ChildOptions& child) {
  return Fork(log_, [&] { RunChild(child, shared_); });
}

int64_t FaultRun::failures() const {
  int64_t sum = 0;
  for (const auto& failure : shared_.failures) {
    sum += failure;
  }
  return sum;
}

void FaultRun::Problem(const std::string& words) {
  if (row_.first_problem.empty()) {
    row_.first_problem = words;
  }
}

const Workload& FaultRun::workload() { return kWorkload; }

void FaultRun::WriteInHealth(int milliseconds) {
  const pid_t pid = Start(MakeChild());
  WaitPast(Phase::kChecking, pid, kHangMs, shared_);
  WaitPast(Phase::kWriting, pid, milliseconds, shared_);
  WaitOrKill(pid, 0);
}

void FaultRun::CheckAll() {
  ChildOptions child = MakeChild();
  child.full_check = true;
  shared_.stop = true;
  const int status = WaitOrKill(Start(child), kHangMs);
  row_.lost += shared_.check.missing;
  row_.torn += shared_.check.differing + shared_.check.refused;
  row_.acknowledged = shared_.acknowledged;
  if (shared_.phase != Phase::kEnded) {
    Problem(absl::StrCat(
        "after it was healed: ", shared_.has_words ? shared_.words.data() : "",
        " wait status ", status));
  }
}

void FaultRun::WaitForTrouble(pid_t pid, bool is_injected) {
  const FaultPlan& plan = shared_.faults.plan;
  const auto is_refused = [&] { return shared_.phase == Phase::kRefused; };
  WaitUntil(pid, 4000, [&] {
    return is_refused() || failures() > 20 || (is_injected && plan.hits > 0);
  });
  // What follows from it.
  WaitUntil(pid, is_injected ? 400 : 100,
            [&] { return is_refused() || failures() > 20; });
}

std::string FaultRun::OutcomeOf(pid_t pid, bool was_met) {
  const int64_t failed = failures();
  const int64_t before = shared_.acknowledged;
  const auto was_refused = [&] { return shared_.phase == Phase::kRefused; };
  const bool resumed =
      WaitUntil(pid, 1500,
                [&] {
                  return was_refused() || shared_.acknowledged > before + 20;
                }) &&
      shared_.acknowledged > before + 20;
  const int status = WaitOrKill(pid, was_refused() ? kHangMs : 0);
  const bool died = WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL;
  if (shared_.reads.missing + shared_.reads.differing > 0) {
    Problem(absl::StrCat("while writes failed: ", shared_.words.data()));
  }
  if (died && WTERMSIG(status) != SIGABRT) {
    Problem(absl::StrCat("the process got signal ", WTERMSIG(status)));
  }
  if (died) return "fail-stop";
  if (was_refused()) return "open refused";
  if (!was_met) return "not reached";
  if (failed == 0) {
    return shared_.care_failures > 0 ? "refused, writes go on"
                                     : "no write failed";
  }
  const std::string reads =
      shared_.reads.refused > 0 ? ", some reads refused" : "";
  return (resumed ? "writes refused, resumed"
                  : "writes refused until reopened") +
         reads;
}

void FaultRun::Meet(const DiskFault& fault) {
  // A new log, a new table, and once in a while a compaction.
  for (int i = 0; i < 2; ++i) {
    WriteInHealth(60);
  }
  ChildOptions child = MakeChild();
  child.check = false;
  child.look_after = fault.look_after;
  FaultPlan& plan = shared_.faults.plan;
  plan.op = fault.op;
  plan.kind = fault.kind;
  plan.thread = fault.thread;
  plan.error = fault.error;
  plan.countdown = static_cast<int64_t>(
      random_() % static_cast<uint64_t>(fault.max_countdown + 1));
  if (fault.at_open) {
    plan.action = FaultAction::kFail;
  } else {
    child.action_when_writing = FaultAction::kFail;
  }
  const pid_t pid = Start(child);
  WaitForTrouble(pid, true);
  plan.action = FaultAction::kNone;
  ++row_.runs;
  ++row_.outcomes[OutcomeOf(pid, plan.hits > 0)];
  CheckAll();
}

void FaultRun::MeetOutside(bool at_open, int64_t min_free_bytes,
                           const std::function<void()>& harm,
                           const std::function<void()>& heal) {
  min_free_bytes_ = min_free_bytes;
  ChildOptions child = MakeChild();
  child.check = false;
  if (at_open) {
    harm();
  }
  const pid_t pid = Start(child);
  if (!at_open) {
    WaitPast(Phase::kOpening, pid, kHangMs, shared_);
    harm();
  }
  WaitForTrouble(pid, false);
  heal();
  ++row_.runs;
  ++row_.outcomes[OutcomeOf(pid, true)];
  min_free_bytes_ = 0;
  CheckAll();
}

}  // namespace ovdiff::store::torture
