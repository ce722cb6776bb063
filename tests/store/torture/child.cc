#include "tests/store/torture/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "store/prototype_store.h"
#include "tests/store/torture/caretaker.h"

namespace ovdiff::store::torture {
namespace {

void Publish(const Findings& findings, SharedFindings& shared) {
  shared.exact += findings.exact;
  shared.missing += findings.missing;
  shared.differing += findings.differing;
  shared.refused += findings.refused;
  shared.unnamed += findings.unnamed;
}

// The block of the last operation, with or without the one in flight.
Findings SettleLast(const Checker& checker, int writer, SharedState& shared) {
  auto& done = shared.done[static_cast<size_t>(writer)];
  const int64_t block = done / kOpsPerBlock;
  const int of_it = static_cast<int>(done % kOpsPerBlock);
  Findings without = checker.CheckBlock(writer, block, of_it);
  if (without.all_exact()) {
    return without;
  }
  Findings with = checker.CheckBlock(writer, block, of_it + 1);
  if (!with.all_exact()) {
    return without;
  }
  ++done;
  return with;
}

Findings CheckSome(const ChildOptions& options, const PrototypeStore& store,
                   SharedState& shared) {
  const Checker checker(options.workload, store);
  std::mt19937_64 random(options.seed);
  Findings findings;
  for (int writer = 0; writer < options.workload.writers; ++writer) {
    const auto at = static_cast<size_t>(writer);
    const int64_t last = shared.done[at] / kOpsPerBlock;
    const int64_t first = shared.seen[at] / kOpsPerBlock;
    for (int64_t block = first; block < last; ++block) {
      findings.Add(checker.CheckBlock(writer, block, kOpsPerBlock));
    }
    if (first > 0) {  // And an old one.
      const auto old =
          static_cast<int64_t>(random() % static_cast<uint64_t>(first));
      findings.Add(checker.CheckBlock(writer, old, kOpsPerBlock));
    }
    findings.Add(SettleLast(checker, writer, shared));
  }
  checker.SettleJobs(findings);
  return findings;
}

// False: something is wrong, and has been said.
bool Check(const ChildOptions& options, const PrototypeStore& store,
           SharedState& shared) {
  shared.phase = Phase::kChecking;
  Findings findings = CheckSome(options, store, shared);
  if (findings.all_exact() && options.full_check) {
    findings = CheckAll(
        options.workload,
        std::vector<int64_t>(shared.done.begin(), shared.done.end()), store);
  }
  Publish(findings, shared.check);
  if (!findings.all_exact()) {
    Say(findings.first, shared);
    shared.phase = Phase::kDamaged;
    return false;
  }
  for (size_t i = 0; i < shared.done.size(); ++i) {
    shared.seen[i] = shared.done[i].load();
  }
  return true;
}

void Write(const ChildOptions& options, int writer, PrototypeStore& store,
           SharedState& shared) {
  auto& done = shared.done[static_cast<size_t>(writer)];
  bool again = !options.check;  // The one in flight may have been done.
  while (!shared.stop) {
    const absl::Status status =
        Do(options.workload, writer, done, again, store);
    if (status.ok()) {
      ++done;
      ++shared.acknowledged;
      again = false;
      continue;
    }
    ++shared.failures[static_cast<size_t>(status.code()) % 32];
    Say(absl::StrCat("write: ", status.ToString()), shared);
    again = true;
    absl::SleepFor(absl::Milliseconds(10));
  }
}

// Sets that were acknowledged are read while others write.
void Read(const ChildOptions& options, const PrototypeStore& store,
          SharedState& shared) {
  std::mt19937_64 random(options.seed + 1);
  // Without its list of jobs, which this thread does not look at.
  const Checker checker(options.workload, store);
  while (!shared.stop) {
    const int writer = static_cast<int>(
        random() % static_cast<uint64_t>(options.workload.writers));
    const int64_t done = shared.done[static_cast<size_t>(writer)];
    if (done > 0) {
      const auto number =
          static_cast<int64_t>(random() % static_cast<uint64_t>(done));
      const Block block =
          ExpectedBlock(writer, number / kOpsPerBlock,
                        static_cast<int>(number % kOpsPerBlock) + 1);
      if (!block.sets.empty()) {
        const Findings findings = checker.CheckSet(block.sets.back());
        Publish(findings, shared.reads);
        if (!findings.all_exact()) {
          Say("read: " + findings.first, shared);
        }
      }
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

void JumpClock(const ChildOptions& options, SharedState& shared) {
  std::mt19937_64 random(options.seed + 2);
  std::uniform_int_distribution<int64_t> seconds(
      -options.max_clock_jump_seconds, options.max_clock_jump_seconds);
  while (!shared.stop) {
    shared.faults.clock_offset_seconds = seconds(random);
    absl::SleepFor(absl::Milliseconds(5));
  }
}

void WriteUntilStopped(const ChildOptions& options, PrototypeStore& store,
                       SharedState& shared) {
  if (options.action_when_writing != FaultAction::kNone) {
    shared.faults.plan.action = options.action_when_writing;
  }
  shared.phase = Phase::kWriting;
  std::vector<std::thread> threads;
  for (int writer = 0; writer < options.workload.writers; ++writer) {
    threads.emplace_back(
        [&, writer] { Write(options, writer, store, shared); });
  }
  threads.emplace_back([&] { Read(options, store, shared); });
  if (options.look_after) {
    threads.emplace_back([&] { LookAfter(options, store, shared); });
  }
  if (options.max_clock_jump_seconds > 0) {
    threads.emplace_back([&] { JumpClock(options, shared); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace

void Say(const std::string& words, SharedState& shared) {
  if (!shared.has_words.exchange(true)) {
    strncpy(shared.words.data(), words.c_str(), shared.words.size() - 1);
  }
}

SharedState* NewSharedState() {
  void* memory = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::abort();
  }
  // Zero is each field's initial value; writing it would take all the memory.
  return static_cast<SharedState*>(memory);
}

void ResetChild(SharedState& shared) {
  shared.phase = Phase::kOpening;
  shared.stop = false;
  shared.open_code = 0;
  for (SharedFindings* findings : {&shared.check, &shared.reads}) {
    findings->exact = findings->missing = findings->differing = 0;
    findings->refused = findings->unnamed = 0;
  }
  for (auto& failure : shared.failures) {
    failure = 0;
  }
  shared.care_failures = 0;
  shared.words.fill('\0');
  shared.has_words = false;
  FaultPlan& plan = shared.faults.plan;
  plan.action = FaultAction::kNone;
  plan.kind = FileKind::kAny;
  plan.thread = FaultThread::kAny;
  plan.countdown = 0;
  plan.hits = 0;
  shared.faults.clock_offset_seconds = 0;
}

pid_t Fork(const std::string& log, const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid != 0) {
    if (pid < 0) {
      std::perror("fork");
      std::abort();
    }
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // No child outlives the torture.
  const int fd = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
  dup2(fd, STDERR_FILENO);
  body();
  _exit(0);
}

void RunChild(const ChildOptions& options, SharedState& shared) {
  InstallFaults(&shared.faults);
  auto opened = OpenRocksDbStore(
      {.path = options.path, .min_free_bytes = options.min_free_bytes});
  if (!opened.ok()) {
    shared.open_code = static_cast<int>(opened.status().code());
    Say(opened.status().ToString(), shared);
    shared.phase = Phase::kRefused;
    return;
  }
  std::unique_ptr<PrototypeStore> store = *std::move(opened);
  if (!options.check || Check(options, *store, shared)) {
    WriteUntilStopped(options, *store, shared);
    store.reset();
    shared.phase = Phase::kEnded;
  }
}

}  // namespace ovdiff::store::torture
