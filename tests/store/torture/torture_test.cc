// The short form: each part of the torture for a second or so, and that each
// would notice. The long form is benchmarks/torture.
//
// This process never opens a store: it forks children that do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "store/record_codec.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"
#include "tests/store/torture/corrupter.h"
#include "tests/store/torture/crasher.h"
#include "tests/store/torture/disk_faults.h"

namespace ovdiff::store::torture {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Key;

constexpr uint64_t kSeed = 20261122;

CrashOptions ShortOptions(const TempFolder& folder) {
  return {.folder = folder.path() + "/torture",
          .workload = {.writers = 4},
          .seed = kSeed,
          .min_kills = 12,
          .min_acknowledged = 500,
          .max_writing_ms = 60,
          .full_check_every = 4};
}

TEST(TortureTest, AcknowledgedWritesSurviveKills) {
  const TempFolder folder;
  const CrashReport report = Crash(ShortOptions(folder));
  EXPECT_TRUE(report.kept_all()) << report.first_problem;
  EXPECT_GE(report.acknowledged, 500);
  EXPECT_GT(report.verified, report.acknowledged);
  EXPECT_GT(report.kills_at.size(), 2U);
}

TEST(TortureTest, AcknowledgedWritesSurvivePowerLossAndAClockThatJumps) {
  const TempFolder folder;
  CrashOptions options = ShortOptions(folder);
  options.power_loss = true;
  options.max_clock_jump_seconds = 400'000'000;
  const CrashReport report = Crash(options);
  EXPECT_TRUE(report.kept_all()) << report.first_problem;
  EXPECT_GT(report.dropped_bytes, 0);
  EXPECT_GT(report.dropped_names, 0);
}

TEST(TortureTest, ABackupTakenWhileWritersAreKilledIsWhole) {
  const TempFolder folder;
  CrashOptions options = ShortOptions(folder);
  options.workload.collects_garbage = true;
  options.min_kills = 5;
  options.min_acknowledged = 0;
  options.max_writing_ms = 300;
  options.look_after = true;
  const CrashReport report = Crash(options);
  EXPECT_TRUE(report.kept_all()) << report.first_problem;
  EXPECT_GT(report.backups, 0);
}

// A disk that says it synced and did not: the torture must see the loss, or it
// would see none at all.
TEST(TortureTest, ADiskThatLiesIsNoticed) {
  const TempFolder folder;
  CrashOptions options = ShortOptions(folder);
  options.power_loss = true;
  options.syncs_lie = true;
  options.min_kills = 200;
  const CrashReport report = Crash(options);
  EXPECT_FALSE(report.kept_all());
  EXPECT_NE(report.first_problem, "");
}

TEST(TortureTest, DamagedFilesAreNeverServed) {
  const TempFolder folder;
  const CorruptionReport report = Corrupt({.folder = folder.path() + "/torture",
                                           .workload = {.writers = 3},
                                           .seed = kSeed,
                                           .injections = 40,
                                           .min_acknowledged = 240});
  EXPECT_EQ(report.injected, 40);
  EXPECT_TRUE(report.all_reported())
      << (report.problems.empty() ? "" : report.problems[0]);
}

// A record that is whole in itself and is not the one that was written: only
// the comparison with the oracle can tell.
TEST(TortureTest, AServedLieIsNoticed) {
  const TempFolder folder;
  const std::string path = folder.path() + "/torture/db";
  const Workload workload = {.writers = 2};
  SharedState& shared = *NewSharedState();
  MakeStore(folder.path() + "/torture", workload, kSeed, 100, shared);
  EXPECT_EQ(Inspect(path, path + ".log", workload, shared), "no effect");
  const int seed = ExpectedBlock(0, 0, 1).sets[0];
  WaitOrKill(Fork(path + ".log",
                  [&] {
                    PrototypeRecord lie = SetOf(workload, seed);
                    lie.set.spaces[0].foreground.values[0] += 1.0f;
                    const ContentKey key = KeyOf(lie);
                    RawDatabase(path).Put(
                        "proto", ContentTableKey(key),
                        EncodePrototypeRecord(key, lie, PayloadType::kFloat32));
                  }),
             10'000);
  EXPECT_EQ(Inspect(path, path + ".log", workload, shared), "served damaged");
  shared.done[1] += 5;  // Acknowledged, as far as the oracle knows.
  EXPECT_EQ(Inspect(path, path + ".log", workload, shared), "served damaged");
  EXPECT_GT(shared.check.missing, 0);
}

void ExpectKept(const std::vector<FaultRow>& rows) {
  for (const FaultRow& row : rows) {
    EXPECT_TRUE(row.kept_all()) << row.name << ": " << row.first_problem;
    EXPECT_GT(row.runs, 0) << row.name;
  }
}

TEST(TortureTest, AFullOrFailingLogLosesNothing) {
  const TempFolder folder;
  const DiskFaultOptions options = {
      .folder = folder.path() + "/torture", .runs = 1, .only = "WAL write"};
  const std::vector<FaultRow> rows = InjectDiskFaults(options);
  ASSERT_EQ(rows.size(), 2U);  // ENOSPC, EIO.
  ExpectKept(rows);
  for (const FaultRow& row : rows) {
    EXPECT_THAT(row.outcomes,
                Each(Key(AnyOf("fail-stop", "writes refused until reopened",
                               "writes refused, resumed"))));
  }
}

TEST(TortureTest, AFullVolumeAndOtherOpenersLoseNothing) {
  const TempFolder folder;
  DiskFaultOptions options = {.folder = folder.path() + "/torture", .runs = 1};
  ExpectKept(OpenWhatMustBeRefused(options));
  options.only = "small writes";
  const std::vector<FaultRow> rows = FillSmallVolume(options);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_TRUE(rows[0].kept_all()) << rows[0].first_problem;
}

}  // namespace
}  // namespace ovdiff::store::torture
