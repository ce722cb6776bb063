// StoreAdmin on a disk: damage found, named and scrubbed; space given back;
// backups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/rocksdb_tables.h"
#include "store/store_admin.h"
#include "tests/store/contract_test.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

VerifyReport MustVerify(PrototypeStore& store,
                        const VerifyOptions& options = {}) {
  auto report = store.admin().Verify(options, CallControl(), nullptr);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : VerifyReport();
}

std::vector<std::string> KeysOf(const VerifyReport& report) {
  std::vector<std::string> keys;
  for (const RecordProblem& problem : report.problems) {
    keys.push_back(absl::StrCat(problem.table, ": ", problem.key));
  }
  return keys;
}

TEST(RocksDbAdminTest, DamagedRecordsAreNamedWithWhoNeedsThem) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  const NewClass cat = MakeNewClass("cat");
  const SupportRecord loose = MakeSupportRecord(1);
  {
    const auto store = MustOpen(folder.path());
    ASSERT_TRUE(store->Publish(kShop, {dog, cat}).ok());
    ASSERT_TRUE(store->Publish({.project = "p", .name = "zoo"}, {dog}).ok());
    ASSERT_TRUE(store->RemoveClasses(kShop, {{"cat"}}).ok());
    ASSERT_TRUE(store->PutSupportSet(KeyOf(loose), loose).ok());
    ASSERT_TRUE(store->PutJob("j", "bytes").ok());
  }
  {
    RawDatabase raw(folder.path());
    raw.Damage("proto", ContentTableKey(dog.prototype_key));
    raw.Damage("proto", ContentTableKey(cat.prototype_key));
    raw.Damage("support", ContentTableKey(KeyOf(loose)));
    raw.Damage("meta", LabelKey(kShop, "cat"));
    raw.Damage("meta", VersionKey(kShop, 1));
    raw.Damage("jobs", "j");
  }
  const auto store = MustOpen(folder.path());
  const VerifyReport report = MustVerify(*store);
  EXPECT_EQ(report.num_problems, 6);
  EXPECT_THAT(KeysOf(report),
              testing::UnorderedElementsAre(
                  "proto: prototype set " + ToHex(dog.prototype_key),
                  "proto: prototype set " + ToHex(cat.prototype_key),
                  "support: support set " + ToHex(KeyOf(loose)),
                  "meta: version 1 of default/shop",
                  "meta: label of 'cat' in default/shop", "jobs: job j"));
  for (const RecordProblem& problem : report.problems) {
    EXPECT_EQ(problem.status.code(), kDataLoss);
    EXPECT_FALSE(problem.is_dropped);
    if (absl::EndsWith(problem.key, ToHex(dog.prototype_key))) {
      EXPECT_EQ(problem.num_users, 2);
      EXPECT_THAT(problem.users,
                  ElementsAre("default/shop: dog", "p/zoo: dog"));
    }
  }
  EXPECT_EQ(store->Stats()->num_damaged, 3);
  // What version 1 needs cannot be told: the cat's set might go with the rest.
  const auto garbage =
      store->admin().CollectGarbage({.dry_run = false}, CallControl());
  EXPECT_EQ(garbage.status().code(), kDataLoss);
  EXPECT_THAT(garbage.status().message(),
              AllOf(HasSubstr("nothing was deleted"),
                    HasSubstr("version 1 of default/shop")));
  EXPECT_EQ(MustVerify(*store, {.max_problems = 2}).problems.size(), 2U);
}

TEST(RocksDbAdminTest, ScrubbingTakesDamagedSetsOutForTheRebuilding) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  const NewClass cat = MakeNewClass("cat");
  MustOpen(folder.path())->Publish(kShop, {dog, cat}).value();
  RawDatabase(folder.path())
      .Damage("proto", ContentTableKey(dog.prototype_key));
  const auto store = MustOpen(folder.path());
  const VerifyReport report = MustVerify(*store, {.drop_damaged_sets = true});
  EXPECT_EQ(report.num_dropped, 1);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_TRUE(report.problems[0].is_dropped);
  EXPECT_EQ(
      store->PrototypeSetStates({dog.prototype_key, cat.prototype_key}).value(),
      (std::vector{SetState::kAbsent, SetState::kPresent}));
  EXPECT_EQ(store->GetPrototypeSet(dog.prototype_key).status().code(),
            absl::StatusCode::kNotFound);
  // It is still missed, until it is published again.
  const VerifyReport again = MustVerify(*store, {.drop_damaged_sets = true});
  EXPECT_EQ(again.num_dropped, 0);
  ASSERT_EQ(again.problems.size(), 1U);
  EXPECT_EQ(again.problems[0].status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(again.problems[0].users, ElementsAre("default/shop: dog"));
  ASSERT_TRUE(store->Publish(kShop, {dog}).ok());
  EXPECT_EQ(MustVerify(*store).num_problems, 0);
}

TEST(RocksDbAdminTest, DamageInATableFileIsReported) {
  const TempFolder folder;
  MustOpen(folder.path())->Publish(kShop, {MakeNewClass("dog")}).value();
  RawDatabase(folder.path()).Flush();
  for (const std::string& file : FilesOf(folder.path(), ".sst")) {
    FlipByte(file, 20);  // In its first block.
    const auto store = OpenRocksDbStore({.path = folder.path()});
    if (store.ok()) {
      EXPECT_GT(MustVerify(**store).num_problems, 0) << file;
    } else {
      EXPECT_EQ(store.status().code(), kDataLoss) << store.status();
    }
    FlipByte(file, 20);
  }
  EXPECT_EQ(MustVerify(*MustOpen(folder.path())).num_problems, 0);
}

TEST(RocksDbAdminTest, CompactingGivesBackWhatGarbageTook) {
  const TempFolder folder;
  const auto store = MustOpen(folder.path());
  std::vector<PrototypeRecord> records;
  for (int i = 0; i < 24; ++i) {
    records.push_back(MakePrototypeRecord(i, 1000, 32));  // 400 KB.
    ASSERT_TRUE(store->PutPrototypeSet(KeyOf(records[i]), records[i]).ok());
  }
  ASSERT_TRUE(store->admin().Compact(CallControl()).ok());
  GarbageOptions options = {.dry_run = false, .min_age = absl::ZeroDuration()};
  for (int i = 0; i < 12; ++i) {
    options.keep.push_back(KeyOf(records[2 * i]));
  }
  const auto garbage = store->admin().CollectGarbage(options, CallControl());
  ASSERT_TRUE(garbage.ok()) << garbage.status();
  EXPECT_EQ(garbage->num_prototype_sets, 12);
  const int64_t before = store->Stats()->disk_bytes;
  ASSERT_TRUE(store->admin().Compact(CallControl()).ok());
  const StoreStats after = store->Stats().value();
  EXPECT_LE(after.disk_bytes, before - garbage->bytes);
  EXPECT_LE(static_cast<double>(after.disk_bytes),
            1.2 * static_cast<double>(after.prototype_bytes));
  EXPECT_EQ(after.dead_bytes, 0);
  for (int i = 0; i < 12; ++i) {
    const PrototypeRecord& record = records[2 * i];
    EXPECT_EQ(Difference(store->GetPrototypeSet(KeyOf(record)).value(), record),
              "");
  }
}

// Everything that can be asked of two stores is the same.
void ExpectSame(PrototypeStore& a, PrototypeStore& b,
                const std::vector<ContentKey>& keys) {
  for (const ContentKey& key : keys) {
    EXPECT_EQ(Difference(a.GetPrototypeSet(key).value(),
                         b.GetPrototypeSet(key).value()),
              "");
  }
  EXPECT_EQ(a.ListJobs(nullptr).value(), b.ListJobs(nullptr).value());
  for (int64_t version = 0; version <= 2; ++version) {
    EXPECT_EQ(Difference(a.GetVocabulary(kShop, version).value(),
                         b.GetVocabulary(kShop, version).value()),
              "");
  }
  EXPECT_EQ(a.Stats()->prototype_bytes, b.Stats()->prototype_bytes);
}

TEST(RocksDbAdminTest, ABackupGivesEverythingBack) {
  const TempFolder folder;
  const std::string backups = folder.path() + "/backups";
  const auto store = MustOpen(folder.path() + "/store");
  NewClass large = MakeNewClass("large");
  large.set = MakePrototypeRecord(3, 320, 32);
  const std::vector<ContentKey> keys = {large.prototype_key,
                                        MakeNewClass("dog").prototype_key};
  ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
  const auto first = store->admin().Backup({.folder = backups}, CallControl());
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(store->Publish(kShop, {large}).ok());
  ASSERT_TRUE(store->PutJob("j", "bytes").ok());
  const auto second = store->admin().Backup({.folder = backups}, CallControl());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->id, first->id + 1);
  EXPECT_EQ(ListBackups(backups)->size(), 2U);

  const std::string restored = folder.path() + "/restored";
  ASSERT_TRUE(RestoreStore({.backup_folder = backups, .path = restored}).ok());
  {
    const auto other = MustOpen(restored);
    ExpectSame(*store, *other, keys);
    EXPECT_EQ(MustVerify(*other).num_problems, 0);
    EXPECT_TRUE(other->Publish(kShop, {MakeNewClass("cat")}).ok());
  }
  const auto refused =
      RestoreStore({.backup_folder = backups, .path = restored});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  const std::string older = folder.path() + "/older";
  ASSERT_TRUE(
      RestoreStore({.backup_folder = backups, .id = first->id, .path = older})
          .ok());
  EXPECT_EQ(MustOpen(older)->GetVocabulary(kShop, 0)->version, 1);
  EXPECT_EQ(RestoreStore({.backup_folder = backups, .id = 9, .path = "/x"})
                .status()
                .code(),
            absl::StatusCode::kNotFound);
  const auto third = store->admin().Backup(
      {.folder = backups, .keep_backups = 1}, CallControl());
  ASSERT_TRUE(third.ok()) << third.status();
  ASSERT_EQ(ListBackups(backups)->size(), 1U);
  EXPECT_EQ(ListBackups(backups)->at(0).id, third->id);
}

TEST(RocksDbAdminTest, ADamagedBackupIsNotRestored) {
  const TempFolder folder;
  const std::string backups = folder.path() + "/backups";
  EXPECT_EQ(ListBackups(backups).status().code(), absl::StatusCode::kNotFound);
  {
    const auto store = MustOpen(folder.path() + "/store");
    ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
    ASSERT_TRUE(store->admin().Backup({.folder = backups}, CallControl()).ok());
  }
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(backups)) {
    if (entry.is_regular_file() && entry.file_size() > 0) {
      files.push_back(entry.path());
    }
  }
  ASSERT_THAT(files, Contains(HasSubstr(".sst")));
  int number = 0;
  for (const std::string& file : files) {
    const size_t middle = std::filesystem::file_size(file) / 2;
    FlipByte(file, middle);
    const std::string path = absl::StrCat(folder.path(), "/restored", ++number);
    const auto restored =
        RestoreStore({.backup_folder = backups, .path = path});
    EXPECT_FALSE(restored.ok()) << file;
    FlipByte(file, middle);
  }
  EXPECT_TRUE(RestoreStore({.backup_folder = backups,
                            .path = folder.path() + "/restored"})
                  .ok());
}

TEST(DatabaseWatcherTest, SaysWhyTheDatabaseStoppedUntilItGoesOn) {
  DatabaseWatcher watcher(nullptr);
  EXPECT_TRUE(watcher.status().ok());
  rocksdb::Status error = rocksdb::Status::IOError("/dev/sdx1", "broken");
  watcher.OnBackgroundError(rocksdb::BackgroundErrorReason::kFlush, &error);
  EXPECT_EQ(watcher.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(watcher.status().message(),
              AllOf(HasSubstr("stopped writing"), HasSubstr("/dev/sdx1")));
  EXPECT_EQ(watcher.num_errors(), 1);
  rocksdb::BackgroundErrorRecoveryInfo info;
  info.new_bg_error = rocksdb::Status::NoSpace();
  watcher.OnErrorRecoveryEnd(info);
  EXPECT_EQ(watcher.status().code(), absl::StatusCode::kResourceExhausted);
  info.new_bg_error = rocksdb::Status::OK();
  watcher.OnErrorRecoveryEnd(info);
  EXPECT_TRUE(watcher.status().ok());
  EXPECT_EQ(watcher.num_errors(), 1);
}

}  // namespace
}  // namespace ovdiff::store
