// The long form of the store's torture: kills, power loss, damaged files, full
// and failing disks, against an oracle. benchmarks/README.md says what it
// promises; the parts are in tests/store/torture.
//
// Exits 0 if every promise was kept, 1 if one was broken, 2 if it cannot run.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmarks/torture/torture_report.h"

namespace ovdiff::store::torture {
namespace {

struct Flags {
  std::string report = "build/torture/report.json";
  std::string work = "build/torture/work";         // On a disk.
  std::string memory = "/dev/shm/ovdiff_torture";  // What needs no disk.
  uint64_t seed = 0;
  int64_t kills = 240;
  int64_t writes = 100'000;
  int64_t power_losses = 100;
  int64_t corruptions = 1'200;
  int runs = 2;
  std::string only;
};

class Torture {
 public:
  explicit Torture(const Flags& flags) : flags_(flags) {
    report_.seed = flags.seed;
  }

  const TortureReport& Run() {
    const absl::Time start = absl::Now();
    if (IsWanted("kills")) report_.kills = Kills();
    if (IsWanted("care")) report_.care = Care();
    if (IsWanted("power")) PowerLosses();
    if (IsWanted("clock")) report_.clock = ClockJumps();
    if (IsWanted("corruption")) Corruptions();
    if (IsWanted("faults")) Faults();
    report_.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    return report_;
  }

 private:
  bool IsWanted(const std::string& part) const {
    return flags_.only.empty() || flags_.only == part;
  }

  CrashReport Kills() {
    const CrashReport report = Crash({.folder = flags_.work + "/kills",
                                      .workload = {.large_every = 400},
                                      .seed = flags_.seed,
                                      .min_kills = flags_.kills,
                                      .min_acknowledged = flags_.writes,
                                      .max_writing_ms = 1800,
                                      .full_check_every = 40});
    Tell("kill -9", report);
    return report;
  }

  CrashReport Care() {
    const CrashReport report = Crash({.folder = flags_.work + "/care",
                                      .workload = {.collects_garbage = true},
                                      .seed = flags_.seed + 5,
                                      .min_kills = flags_.kills / 6,
                                      .min_acknowledged = 0,
                                      .max_writing_ms = 800,
                                      .look_after = true});
    Tell("kill -9 while looked after", report);
    return report;
  }

  void PowerLosses() {
    CrashOptions options = {.folder = flags_.memory + "/power",
                            .workload = {.large_every = 200},
                            .seed = flags_.seed + 1,
                            .min_kills = flags_.power_losses,
                            .min_acknowledged = 0,
                            .max_writing_ms = 150,
                            .power_loss = true};
    report_.power_loss = Crash(options);
    Tell("power loss", report_.power_loss);
    options.folder = flags_.memory + "/liar";
    options.syncs_lie = true;
    report_.lying_disk = Crash(options);
    Tell("a disk that lies (must lose)", report_.lying_disk);
  }

  CrashReport ClockJumps() {
    constexpr int kTenYears = 315'000'000;
    const CrashReport report = Crash({.folder = flags_.work + "/clock",
                                      .seed = flags_.seed + 2,
                                      .min_kills = flags_.kills / 10,
                                      .min_acknowledged = 0,
                                      .max_clock_jump_seconds = kTenYears});
    Tell("kill -9 while the clock jumps", report);
    return report;
  }

  void Corruptions() {
    report_.corruption = Corrupt({.folder = flags_.memory + "/corruption",
                                  .workload = {.writers = 4},
                                  .seed = flags_.seed + 3,
                                  .injections = flags_.corruptions});
    const CorruptionReport& found = report_.corruption;
    std::printf(
        "%-32s %ld injected, %ld served damaged, %ld vanished, %ld unnamed, "
        "%ld stopped, %ld hung (%.0f s)\n",
        "corruptions", static_cast<long>(found.injected),
        static_cast<long>(found.served_damaged),
        static_cast<long>(found.vanished), static_cast<long>(found.unnamed),
        static_cast<long>(found.stopped), static_cast<long>(found.hung),
        found.seconds);
  }

  void Faults() {
    const DiskFaultOptions options = {.folder = flags_.memory + "/faults",
                                      .seed = flags_.seed + 4,
                                      .runs = flags_.runs};
    for (const auto part :
         {InjectDiskFaults, FillSmallVolume, OpenWhatMustBeRefused}) {
      for (const FaultRow& row : part(options)) {
        Tell(row);
        report_.faults.push_back(row);
      }
    }
  }

  static void Tell(const char* name, const CrashReport& report) {
    std::printf(
        "%-32s %ld kills, %ld acknowledged, %ld lost, %ld torn (%.0f s)"
        "%s%s\n",
        name, static_cast<long>(report.kills),
        static_cast<long>(report.acknowledged), static_cast<long>(report.lost),
        static_cast<long>(report.torn), report.seconds,
        report.first_problem.empty() ? "" : "\n  ",
        report.first_problem.c_str());
    std::fflush(stdout);
  }

  static void Tell(const FaultRow& row) {
    std::printf("%-32s", row.name.c_str());
    for (const auto& [outcome, number] : row.outcomes) {
      std::printf(" %ld %s;", static_cast<long>(number), outcome.c_str());
    }
    std::printf(" %ld lost, %ld torn%s%s\n", static_cast<long>(row.lost),
                static_cast<long>(row.torn),
                row.first_problem.empty() ? "" : "\n  ",
                row.first_problem.c_str());
    std::fflush(stdout);
  }

  const Flags flags_;
  TortureReport report_;
};

int Main(const Flags& flags) {
  std::printf("seed %lu (--seed %lu runs the same again)\n",
              static_cast<unsigned long>(flags.seed),
              static_cast<unsigned long>(flags.seed));
  std::fflush(stdout);
  const TortureReport report = Torture(flags).Run();
  std::filesystem::create_directories(
      std::filesystem::path(flags.report).parent_path());
  std::ofstream file(flags.report);
  file << ToJson(report) << "\n";
  if (!file.flush()) {
    std::fprintf(stderr, "cannot write %s\n", flags.report.c_str());
    return 2;
  }
  const std::vector<std::string> broken = BrokenPromises(report);
  for (const std::string& promise : broken) {
    std::printf("BROKEN  %s\n", promise.c_str());
  }
  std::printf("%s in %.0f s; report: %s\n",
              broken.empty() ? "every promise kept" : "promises broken",
              report.seconds, flags.report.c_str());
  if (broken.empty()) {  // What is broken stays to be looked at.
    std::filesystem::remove_all(flags.work);
    std::filesystem::remove_all(flags.memory);
  }
  return broken.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ovdiff::store::torture

int main(int argc, char** argv) {
  ovdiff::store::torture::Flags flags;
  flags.seed = std::random_device()();
  CLI::App app("Tortures the prototype store and writes a report.");
  app.add_option("--report", flags.report, "JSON to write");
  app.add_option("--work", flags.work, "Folder on a disk; emptied");
  app.add_option("--memory", flags.memory, "Folder in memory; emptied");
  app.add_option("--seed", flags.seed, "Of all that is random");
  app.add_option("--kills", flags.kills, "At least so many kills");
  app.add_option("--writes", flags.writes,
                 "At least so many acknowledged writes");
  app.add_option("--power-losses", flags.power_losses);
  app.add_option("--corruptions", flags.corruptions);
  app.add_option("--runs", flags.runs, "Of each disk fault");
  app.add_option("--only", flags.only,
                 "kills, care, power, clock, corruption or faults");
  CLI11_PARSE(app, argc, argv);
  flags.work = std::filesystem::absolute(flags.work).string();
  flags.memory = std::filesystem::absolute(flags.memory).string();
  return ovdiff::store::torture::Main(flags);
}
