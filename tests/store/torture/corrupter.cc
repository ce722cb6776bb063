#include "tests/store/torture/corrupter.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/torture/crasher.h"

namespace ovdiff::store::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kHangMs = 60'000;

enum class Damage : uint8_t {
  kBit,
  kByte,
  kZeroes,
  kNoise,
  kTruncated,
  kEmptied,
  kRemoved,
  kSwapped,
  kLengthened,
};
constexpr const char* kDamageNames[] = {
    "bit flipped", "byte changed", "zeroes",  "noise",     "truncated",
    "emptied",     "removed",      "swapped", "lengthened"};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  if (!file.flush()) {
    std::fprintf(stderr, "torture: cannot write %s\n", path.c_str());
    std::abort();
  }
}

class Injector {
 public:
  explicit Injector(uint64_t seed) : random_(seed) {}

  size_t Random(size_t bound) { return random_() % bound; }

  // Does one damage to `path`; `others`: files of its kind. False: this damage
  // does not fit this file, or would change nothing.
  bool Do(Damage damage, const std::string& path,
          const std::vector<std::string>& others) {
    std::string bytes = ReadFile(path);
    const std::string before = bytes;
    switch (damage) {
      case Damage::kRemoved:
        return fs::remove(path);
      case Damage::kSwapped: {
        const std::string& other = others[Random(others.size())];
        bytes = ReadFile(other);
        WriteFile(other, before);
        break;
      }
      case Damage::kLengthened:
        bytes += Noise(1 + Random(600));
        break;
      case Damage::kEmptied:
        bytes.clear();
        break;
      default:
        if (bytes.empty()) return false;
        Change(damage, bytes);
    }
    WriteFile(path, bytes);
    return bytes != before;
  }

 private:
  std::string Noise(size_t size) {
    std::string noise(size, '\0');
    std::generate(noise.begin(), noise.end(),
                  [&] { return static_cast<char>(random_()); });
    return noise;
  }

  void Change(Damage damage, std::string& bytes) {
    const size_t at = Random(bytes.size());
    const size_t run = std::min<size_t>(bytes.size() - at, 1 + Random(512));
    switch (damage) {
      case Damage::kBit:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << Random(8)));
        break;
      case Damage::kByte:
        bytes[at] = static_cast<char>(bytes[at] + 1 + Random(255));
        break;
      case Damage::kZeroes:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), run, '\0');
        break;
      case Damage::kNoise:
        bytes.replace(at, run, Noise(run));
        break;
      default:  // kTruncated
        bytes.resize(at);
    }
  }

  std::mt19937_64 random_;
};

// Runs in a child: reads everything.
void Look(const std::string& path, const Workload& workload,
          SharedState& shared) {
  auto opened = OpenRocksDbStore({.path = path, .min_free_bytes = 0});
  if (!opened.ok()) {
    shared.open_code = static_cast<int>(opened.status().code());
    Say(opened.status().ToString(), shared);
    shared.phase = Phase::kRefused;
    return;
  }
  shared.phase = Phase::kChecking;
  const Findings findings = CheckAll(
      workload, std::vector<int64_t>(shared.done.begin(), shared.done.end()),
      **opened);
  shared.check.exact = findings.exact;
  shared.check.missing = findings.missing;
  shared.check.differing = findings.differing;
  shared.check.refused = findings.refused;
  shared.check.unnamed = findings.unnamed;
  Say(findings.first, shared);
  const auto verified = (*opened)->admin().Verify({}, CallControl(), nullptr);
  shared.care_failures = !verified.ok() ? 1 : verified->num_problems;
  opened->reset();
  shared.phase = Phase::kEnded;
}

std::string OutcomeOf(const std::string& path, const SharedState& shared,
                      int status) {
  if (WIFSIGNALED(status)) {
    return WTERMSIG(status) == SIGKILL ? "hung" : "stopped";
  }
  const std::string words = shared.words.data();
  if (shared.phase == Phase::kRefused) {
    return absl::StrContains(words, path) ? "open refused" : "unnamed";
  }
  const SharedFindings& found = shared.check;
  if (found.differing > 0) return "served damaged";
  if (found.missing > 0) return "vanished";
  if (found.unnamed > 0 && found.unnamed == found.refused &&
      !absl::StartsWith(words, "job-")) {
    return "unnamed";
  }
  if (found.refused > 0) return "record refused";
  return shared.care_failures > 0 ? "verify says" : "no effect";
}

// Files by kind, without RocksDB's log.
std::map<FileKind, std::vector<std::string>> FilesByKind(
    const std::string& path) {
  std::map<FileKind, std::vector<std::string>> files;
  for (const auto& file : fs::recursive_directory_iterator(path)) {
    const FileKind kind = KindOf(file.path().string());
    if (file.is_regular_file() && kind != FileKind::kInfoLog) {
      files[kind].push_back(file.path().string());
    }
  }
  for (auto& [kind, paths] : files) {
    std::sort(paths.begin(), paths.end());
  }
  return files;
}

void Count(const std::string& outcome, CorruptionReport& report) {
  const std::pair<const char*, int64_t*> counters[] = {
      {"served damaged", &report.served_damaged},
      {"vanished", &report.vanished},
      {"unnamed", &report.unnamed},
      {"stopped", &report.stopped},
      {"hung", &report.hung}};
  for (const auto& [name, counter] : counters) {
    *counter += outcome == name ? 1 : 0;
  }
}

// How often a kind's turn comes, of 20.
constexpr std::pair<FileKind, int> kTurns[] = {
    {FileKind::kTable, 5},    {FileKind::kBlob, 4},    {FileKind::kWal, 4},
    {FileKind::kManifest, 3}, {FileKind::kCurrent, 1}, {FileKind::kOptions, 1},
    {FileKind::kIdentity, 1}, {FileKind::kOther, 1}};

std::vector<FileKind> Turns(const std::string& path) {
  const auto files = FilesByKind(path);
  std::vector<FileKind> turns;
  for (const auto& [kind, number] : kTurns) {
    turns.insert(turns.end(), files.contains(kind) ? number : 0, kind);
  }
  return turns;
}

// One injection into a fresh copy in `path`; false: it did not fit.
bool Inject(FileKind kind, const std::string& path, Injector& injector,
            std::string& what) {
  const auto files = FilesByKind(path).at(kind);
  const std::string& file = files[injector.Random(files.size())];
  const auto damage =
      static_cast<Damage>(injector.Random(std::size(kDamageNames)));
  what = kDamageNames[static_cast<size_t>(damage)];
  return injector.Do(damage, file, files);
}

}  // namespace

void MakeStore(const std::string& folder, const Workload& workload,
               uint64_t seed, int64_t min_acknowledged, SharedState& shared) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::string path = folder + "/db";
  const std::string log = folder + "/child.log";
  // Each opening moves the log into new files; the last log stays.
  constexpr int kOpenings = 3;
  for (int opening = 1; opening <= kOpenings; ++opening) {
    ResetChild(shared);
    const ChildOptions child = {
        .path = path, .workload = workload, .seed = seed};
    const pid_t pid = Fork(log, [&] { RunChild(child, shared); });
    while (shared.acknowledged < min_acknowledged * opening / kOpenings &&
           WaitPast(Phase::kChecking, pid, kHangMs, shared) &&
           shared.phase == Phase::kWriting) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    WaitOrKill(pid, 0);
  }
  // Which operations were in flight is asked of a copy.
  fs::copy(path, folder + "/copy", fs::copy_options::recursive);
  ResetChild(shared);
  shared.stop = true;
  const ChildOptions child = {
      .path = folder + "/copy", .workload = workload, .full_check = true};
  WaitOrKill(Fork(log, [&] { RunChild(child, shared); }), kHangMs);
  if (shared.phase != Phase::kEnded) {
    std::fprintf(stderr, "torture: no store to damage: %s\n",
                 shared.words.data());
    std::abort();
  }
  fs::remove_all(folder + "/copy");
}

std::string Inspect(const std::string& path, const std::string& log,
                    const Workload& workload, SharedState& shared) {
  ResetChild(shared);
  const int status =
      WaitOrKill(Fork(log, [&] { Look(path, workload, shared); }), kHangMs);
  return OutcomeOf(path, shared, status);
}

CorruptionReport Corrupt(const CorruptionOptions& options) {
  const absl::Time start = absl::Now();
  SharedState& shared = *NewSharedState();
  MakeStore(options.folder, options.workload, options.seed,
            options.min_acknowledged, shared);
  const std::string whole = options.folder + "/db";
  const std::string path = options.folder + "/damaged";
  const std::vector<FileKind> turns = Turns(whole);
  Injector injector(options.seed);
  CorruptionReport report;
  for (int64_t turn = 0; report.injected < options.injections; ++turn) {
    const FileKind kind = turns[static_cast<size_t>(turn) % turns.size()];
    fs::remove_all(path);
    fs::copy(whole, path, fs::copy_options::recursive);
    std::string what;
    if (!Inject(kind, path, injector, what)) continue;
    ++report.injected;
    const std::string outcome =
        Inspect(path, options.folder + "/child.log", options.workload, shared);
    auto& row = report.rows[{std::string(NameOf(kind)), what}];
    if (++row[outcome] == 1 && outcome != "no effect" &&
        outcome != "open refused" && outcome != "record refused" &&
        outcome != "verify says") {
      report.problems.push_back(absl::StrCat(
          NameOf(kind), ", ", what, ": ", outcome, ": ", shared.words.data()));
    }
    Count(outcome, report);
  }
  report.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return report;
}

}  // namespace ovdiff::store::torture
