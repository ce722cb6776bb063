// Acknowledged writes that are not there any more: never passed over in
// silence, nothing changed by looking, and a way on from there.
#include "store/acknowledged_mark.h"
#include "tests/store/loss_fixture.h"

namespace ovdiff::store {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

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
