// Acknowledged writes that are not there any more: never passed over in
// silence, nothing changed by looking, and a way on from there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "store/acknowledged_mark.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/contract_test.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

// All files of data, by name.
std::map<std::string, std::string> Contents(const std::string& path) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename();
    if (!absl::StartsWith(name, "LOG") && name != "LOCK") {
      std::ostringstream bytes;
      bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      contents[name] = bytes.str();
    }
  }
  return contents;
}

class LossTest : public testing::Test {
 protected:
  static constexpr int kClasses = 8;

  std::string path() const { return folder_.path(); }

  // Classes "0", "1", … in one vocabulary, a version each, all in the log.
  void Write() {
    const auto store = MustOpen(path());
    for (int i = 0; i < kClasses; ++i) {
      ASSERT_TRUE(store->Publish(kShop, {MakeNewClass(absl::StrCat(i))}).ok());
    }
  }

  std::string LogFile() const {
    for (const std::string& file : FilesOf(path(), ".log")) {
      if (fs::file_size(file) > 0) {
        return file;
      }
    }
    ADD_FAILURE() << "no log";
    return "";
  }

  std::string Manifest() const {
    std::string name;
    std::getline(std::ifstream(path() + "/CURRENT"), name);
    return path() + "/" + name;
  }

  // Opening refuses, names the folder and what to do, and changes nothing.
  void ExpectRefused(const std::string& why) {
    const auto before = Contents(path());
    const auto refused = OpenRocksDbStore({.path = path()});
    EXPECT_EQ(refused.status().code(), kDataLoss) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()),
                AllOf(HasSubstr(path()), HasSubstr(why),
                      HasSubstr("--store-mode recover")));
    EXPECT_TRUE(before == Contents(path())) << "files were changed";
  }

  // Recovers, and gives the number of the classes that are left with their
  // sets. Then the store is like any other, but for the sets that are missing.
  size_t Recover() {
    RecoveryReport report;
    size_t left = 0;
    {
      const auto store = OpenRocksDbStore(
          {.path = path(), .mode = StoreMode::kRecover}, &report);
      EXPECT_TRUE(store.ok()) << store.status();
      if (!store.ok()) return 0;
      EXPECT_FALSE(report.actions.empty());
      const auto head = (*store)->GetVocabulary(kShop, 0);
      if (head.ok()) {
        for (const ClassEntry& entry : head->classes) {
          const auto set = (*store)->GetPrototypeSet(entry.prototype_key);
          EXPECT_TRUE(set.ok() || absl::IsNotFound(set.status()))
              << set.status();
          left += set.ok() ? 1 : 0;
        }
      }
      EXPECT_TRUE((*store)->Publish(kShop, {MakeNewClass("after")}).ok());
    }
    const auto again = OpenRocksDbStore({.path = path()});
    EXPECT_TRUE(again.ok()) << again.status();
    if (again.ok()) {
      const auto verified =
          (*again)->admin().Verify({}, CallControl(), nullptr);
      EXPECT_TRUE(verified.ok()) << verified.status();
      for (const RecordProblem& problem : verified->problems) {
        EXPECT_TRUE(absl::IsNotFound(problem.status)) << problem.status;
      }
      EXPECT_TRUE((*again)
                      ->HasPrototypeSet(MakeNewClass("after").prototype_key)
                      .value());
    }
    return left;
  }

  TempFolder folder_;
};

TEST_F(LossTest, DamageAnywhereInTheLogIsNoticed) {
  Write();
  const std::string log = LogFile();
  const size_t size = fs::file_size(log);
  for (size_t part = 0; part < 16; ++part) {
    const size_t offset = size * part / 16 + 3;
    FlipByte(log, offset);
    ExpectRefused("were acknowledged");
    FlipByte(log, offset);
  }
  // A length that reaches beyond the end looks like a write cut short.
  FlipByte(log, 5);
  ExpectRefused("were acknowledged");
  FlipByte(log, 5);
  EXPECT_EQ(MustOpen(path())->GetVocabulary(kShop, 0)->version, kClasses);
}

TEST_F(LossTest, ALogCutShortOrGoneIsNoticed) {
  Write();
  const std::string log = LogFile();
  const std::map<std::string, std::string> whole = Contents(path());
  fs::resize_file(log, fs::file_size(log) - 1);
  ExpectRefused("were acknowledged");
  fs::resize_file(log, 0);
  ExpectRefused("were acknowledged");
  fs::remove(log);
  ExpectRefused("were acknowledged");
}

// A log of several files, of which tables have taken over only some writes: the
// number that the database reaches is then no witness of the others.
class LongLogTest : public LossTest, public testing::WithParamInterface<bool> {
 protected:
  // Two files of the log: in the first one the vocabulary's versions and sets,
  // of which the sets are in a table already; in the second a write if
  // `GetParam()`.
  void WriteLong() {
    Write();
    RawDatabase raw(path());
    const std::string set = ContentTableKey(MakeNewClass("0").prototype_key);
    for (int i = 1; i <= kClasses; ++i) {
      const std::string key = VersionKey(kShop, i);
      raw.Put("meta", key, raw.Get("meta", key));
    }
    raw.Put("proto", set, raw.Get("proto", set));
    raw.FlushTable("proto");
    if (GetParam()) {
      raw.Put("meta", HeadKey(kShop), raw.Get("meta", HeadKey(kShop)));
    }
    const auto mark = AcknowledgedMark::Open(path());
    ASSERT_TRUE(mark.ok()) << mark.status();
    ASSERT_TRUE((*mark)->Advance(raw.Sequence()).ok());
    ASSERT_TRUE((*mark)->NoteManifest().ok());
  }
};

INSTANTIATE_TEST_SUITE_P(SecondFile, LongLogTest, testing::Bool(),
                         [](const auto& info) {
                           return std::string(info.param ? "Written" : "Empty");
                         });

TEST_P(LongLogTest, AFlippedBitInAnOlderFileIsNoticed) {
  WriteLong();
  const std::string log = LogFile();
  const std::string bytes = Contents(path()).at(fs::path(log).filename());
  // Every bit of the first write's header, where a bit decides what RocksDB
  // takes the file for (the type, byte 6, with bit 2: for the end of a recycled
  // one).
  for (size_t bit = 0; bit < size_t{7} * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    std::ofstream(log, std::ios::binary) << damaged;
    ExpectRefused("");
  }
  for (size_t part = 0; part < 16; ++part) {
    std::string damaged = bytes;
    damaged[bytes.size() * part / 16] ^= 4;
    std::ofstream(log, std::ios::binary) << damaged;
    ExpectRefused("");
  }
  std::ofstream(log, std::ios::binary) << bytes;
  EXPECT_EQ(MustOpen(path())->GetVocabulary(kShop, 0)->version, kClasses);
}

TEST_P(LongLogTest, AnOlderFileCutShortIsNoticed) {
  WriteLong();
  const std::string log = LogFile();
  for (const uintmax_t size : {fs::file_size(log) - 1, fs::file_size(log) / 2,
                               uintmax_t{20}, uintmax_t{0}}) {
    fs::resize_file(log, size);
    ExpectRefused("");
  }
}

// RocksDB removes files of the log some time after the last need for them.
TEST_F(LossTest, AFileOfTheLogThatNothingNeedsIsNoLoss) {
  Write();
  std::string old_log;
  std::string bytes;
  {
    RawDatabase raw(path());
    const std::string key = HeadKey(kShop);
    raw.Put("meta", key, raw.Get("meta", key));
    old_log = LogFile();
    bytes = Contents(path()).at(fs::path(old_log).filename());
    raw.FlushTable("meta");
    raw.Put("meta", key, raw.Get("meta", key));
    raw.FlushTable("meta");
    raw.Put("meta", key, raw.Get("meta", key));
  }
  ASSERT_FALSE(fs::exists(old_log));
  std::ofstream(old_log, std::ios::binary) << bytes;
  const auto store = OpenRocksDbStore({.path = path()});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->GetVocabulary(kShop, 0)->version, kClasses);
}

// Bytes after the last acknowledged write are one that was under way.
TEST_F(LossTest, AWriteCutShortByAKillIsNoLoss) {
  Write();
  const std::string log = LogFile();
  const std::string bytes = Contents(path()).at(fs::path(log).filename());
  std::ofstream(log, std::ios::binary | std::ios::app) << bytes.substr(0, 40);
  const auto store = OpenRocksDbStore({.path = path()});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->GetVocabulary(kShop, 0)->version, kClasses);
}

TEST_F(LossTest, WhatIsLeftCanBeReadAndTakenOver) {
  Write();
  const std::string log = LogFile();
  FlipByte(log, fs::file_size(log) * 6 / 10);
  const auto before = Contents(path());
  {
    const auto store =
        OpenRocksDbStore({.path = path(), .mode = StoreMode::kReadOnly});
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->Health().code(), kDataLoss);
    const auto head = (*store)->GetVocabulary(kShop, 0);
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_GT(head->classes.size(), 2U);
    EXPECT_TRUE((*store)->GetPrototypeSet(head->classes[0].prototype_key).ok());
    EXPECT_FALSE((*store)->Publish(kShop, {MakeNewClass("no")}).ok());
    EXPECT_FALSE((*store)
                     ->admin()
                     .Backup({.folder = path() + "/backup"}, CallControl())
                     .ok());
  }
  EXPECT_TRUE(before == Contents(path()));
  EXPECT_GT(Recover(), 2U);
}

TEST_F(LossTest, AManifestThatLostItsEndIsNoticed) {
  Write();
  {
    // A reopened store has flushed its log, as the manifest's last lines say.
    const auto store = MustOpen(path());
    ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("last")}).ok());
    ASSERT_TRUE(store->admin().Compact(CallControl()).ok());
  }
  const std::string manifest = Manifest();
  const std::string bytes = Contents(path()).at(fs::path(manifest).filename());
  for (const size_t cut : {size_t{1}, bytes.size() / 3, bytes.size() / 2}) {
    fs::resize_file(manifest, bytes.size() - cut);
    ExpectRefused("manifest");
    std::ofstream(manifest, std::ios::binary) << bytes;
  }
  for (size_t part = 0; part < 8; ++part) {
    FlipByte(manifest, bytes.size() * part / 8);
    const auto refused = OpenRocksDbStore({.path = path()});
    EXPECT_EQ(refused.status().code(), kDataLoss) << refused.status();
    FlipByte(manifest, bytes.size() * part / 8);
  }
  EXPECT_EQ(MustOpen(path())->GetVocabulary(kShop, 0)->version, kClasses + 1);
}

TEST_F(LossTest, ADatabaseWithoutItsCurrentFileIsNotMadeAnew) {
  Write();
  fs::remove(path() + "/CURRENT");
  ExpectRefused("CURRENT is gone");
  EXPECT_EQ(Recover(), static_cast<size_t>(kClasses));
}

TEST_F(LossTest, AMarkThatIsGoneOrDamagedIsNoticed) {
  Write();
  const std::string mark = MarkPath(path());
  const std::string bytes = Contents(path()).at("ACKED");
  // One of its two copies is enough.
  FlipByte(mark, 40);
  EXPECT_NE(MustOpen(path()), nullptr);
  std::string damaged = bytes;
  damaged[40] ^= 1;
  damaged[512 + 40] ^= 1;
  std::ofstream(mark, std::ios::binary) << damaged;
  ExpectRefused("ACKED is damaged");
  std::ofstream(mark, std::ios::binary) << bytes;
  MustOpen(path());
  fs::remove(mark);
  ExpectRefused("ACKED is gone");
  EXPECT_EQ(Recover(), static_cast<size_t>(kClasses));
}

TEST_F(LossTest, RecoveringNeverGivesAVersionNumberTwice) {
  Write();
  {
    RawDatabase raw(path());
    raw.Damage("meta", VersionKey(kShop, kClasses));
    raw.Damage("meta", LabelKey(kShop, "1"));
    raw.Damage("proto", ContentTableKey(MakeNewClass("0").prototype_key));
    raw.Damage("sys", std::string(kStoreFormatKey));
  }
  ExpectRefused("");
  RecoveryReport report;
  const auto store =
      OpenRocksDbStore({.path = path(), .mode = StoreMode::kRecover}, &report);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT(report.actions, Contains(HasSubstr("format record")));
  EXPECT_THAT(report.actions,
              Contains(HasSubstr("dropped version 8 of default/shop")));
  EXPECT_THAT(report.actions, Contains(HasSubstr("is at version 9, with the 7 "
                                                 "classes of version 7")));
  EXPECT_THAT(report.actions, Contains(HasSubstr("label of '1'")));
  EXPECT_THAT(report.actions, Contains(AllOf(HasSubstr("dropped prototype set"),
                                             HasSubstr("default/shop: 0"))));
  const Vocabulary head = (*store)->GetVocabulary(kShop, 0).value();
  EXPECT_EQ(head.version, 9);
  EXPECT_EQ(head.classes.size(), 7U);
  // The lost class gets its label back, the others keep theirs.
  const Vocabulary next =
      (*store)
          ->Publish(kShop, {MakeNewClass("7"), MakeNewClass("1", 2)})
          .value();
  EXPECT_EQ(next.version, 10);
  EXPECT_EQ(next.classes[7].label, 8);
  EXPECT_EQ(next.classes[1].name, "1");
  EXPECT_EQ(
      (*store)->PrototypeSetStates({MakeNewClass("0").prototype_key}).value(),
      std::vector{SetState::kAbsent});
}

TEST_F(LossTest, RecoveringAHeadFindsTheNewestVersion) {
  Write();
  RawDatabase(path()).Damage("meta", HeadKey(kShop));
  RecoveryReport report;
  const auto store =
      OpenRocksDbStore({.path = path(), .mode = StoreMode::kRecover}, &report);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->GetVocabulary(kShop, 0)->version, kClasses);
  const Vocabulary next =
      (*store)->Publish(kShop, {MakeNewClass("next")}).value();
  EXPECT_EQ(next.classes.back().label, kClasses + 1);
}

TEST_F(LossTest, ReadOnlyChangesNothingAndSaysSo) {
  Write();
  const auto before = Contents(path());
  {
    const auto store =
        OpenRocksDbStore({.path = path(), .mode = StoreMode::kReadOnly});
    ASSERT_TRUE(store.ok()) << store.status();
    const ContentKey key = MakeNewClass("3").prototype_key;
    EXPECT_TRUE((*store)->GetPrototypeSet(key).ok());
    const absl::Status refusals[] = {
        (*store)->Publish(kShop, {MakeNewClass("cat")}).status(),
        (*store)->RemoveClasses(kShop, {{"3"}}).status(),
        (*store)->PutJob("j", "bytes"),
        (*store)->PutSupportSet(KeyOf(MakeSupportRecord(1)),
                                MakeSupportRecord(1)),
        (*store)->admin().Compact(CallControl()),
        (*store)->Health()};
    for (const absl::Status& refusal : refusals) {
      EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(refusal.message(), HasSubstr("read-only"));
    }
    // Nobody else may write it meanwhile.
    EXPECT_EQ(OpenRocksDbStore({.path = path()}).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(before == Contents(path()));
  EXPECT_EQ(
      OpenRocksDbStore({.path = path() + "/none", .mode = StoreMode::kReadOnly})
          .status()
          .code(),
      absl::StatusCode::kNotFound);
  EXPECT_EQ(MustOpen(path())->GetVocabulary(kShop, 0)->version, kClasses);
}

}  // namespace
}  // namespace ovdiff::store
