// Damaged records and files: never served, and the others live.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
const VocabularyId kShop = {.project = "default", .name = "shop"};
const VocabularyId kZoo = {.project = "default", .name = "zoo"};

TEST(DamageTest, ADamagedSetIsRefusedAndCanBeRebuilt) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  const NewClass cat = MakeNewClass("cat");
  const Vocabulary made =
      MustOpen(folder.path())->Publish(kShop, {dog, cat}).value();
  RawDatabase(folder.path())
      .Damage("proto", ContentTableKey(dog.prototype_key));
  const auto store = MustOpen(folder.path());
  const auto damaged = store->GetPrototypeSet(dog.prototype_key);
  EXPECT_EQ(damaged.status().code(), kDataLoss);
  EXPECT_THAT(damaged.status().message(), HasSubstr(ToHex(dog.prototype_key)));
  EXPECT_EQ(
      Difference(store->GetPrototypeSet(cat.prototype_key).value(), *cat.set),
      "");
  EXPECT_FALSE(store->HasPrototypeSet(dog.prototype_key).value());
  EXPECT_EQ(
      store->PrototypeSetStates({dog.prototype_key, cat.prototype_key}).value(),
      (std::vector{SetState::kDamaged, SetState::kPresent}));
  EXPECT_EQ(store->Stats()->num_damaged, 1);
  // Published again, it is whole; the vocabulary has not changed.
  EXPECT_EQ(Difference(store->Publish(kShop, {dog}).value(), made), "");
  EXPECT_EQ(
      Difference(store->GetPrototypeSet(dog.prototype_key).value(), *dog.set),
      "");
  EXPECT_EQ(store->Stats()->num_damaged, 0);
}

TEST(DamageTest, ADamagedSupportSetIsRefusedAndCanBeRebuilt) {
  const TempFolder folder;
  const SupportRecord record = MakeSupportRecord(1);
  ASSERT_TRUE(
      MustOpen(folder.path())->PutSupportSet(KeyOf(record), record).ok());
  RawDatabase(folder.path()).Damage("support", ContentTableKey(KeyOf(record)));
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->GetSupportSet(KeyOf(record)).status().code(), kDataLoss);
  ASSERT_TRUE(store->PutSupportSet(KeyOf(record), record).ok());
  EXPECT_EQ(Difference(store->GetSupportSet(KeyOf(record)).value(), record),
            "");
}

TEST(DamageTest, ADamagedHeadLeavesTheOtherVocabularies) {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.path());
    ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
    ASSERT_TRUE(store->Publish(kZoo, {MakeNewClass("dog")}).ok());
  }
  RawDatabase(folder.path()).Damage("meta", HeadKey(kShop));
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->GetVocabulary(kShop, 0).status().code(), kDataLoss);
  EXPECT_THAT(store->GetVocabulary(kShop, 0).status().message(),
              HasSubstr("'shop'"));
  EXPECT_EQ(store->Publish(kShop, {MakeNewClass("cat")}).status().code(),
            kDataLoss);
  EXPECT_EQ(store->GetVocabulary(kShop, 1)->classes.size(), 1U);
  EXPECT_EQ(store->Publish(kZoo, {MakeNewClass("cat")})->version, 2);
  const auto listed = store->ListVocabularies("default", "", 10);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 2U);
  EXPECT_EQ((*listed)[0].id.name, "shop");
  EXPECT_EQ((*listed)[0].version, 0);
  EXPECT_EQ((*listed)[1].version, 2);
}

TEST(DamageTest, ADamagedVersionLeavesTheOthers) {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.path());
    for (const char* name : {"dog", "cat", "cow"}) {
      ASSERT_TRUE(store->Publish(kShop, {MakeNewClass(name)}).ok());
    }
  }
  RawDatabase(folder.path()).Damage("meta", VersionKey(kShop, 2));
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->GetVocabulary(kShop, 2).status().code(), kDataLoss);
  EXPECT_EQ(store->GetVocabulary(kShop, 1)->classes.size(), 1U);
  EXPECT_EQ(store->GetVocabulary(kShop, 0)->classes.size(), 3U);
  EXPECT_EQ(store->Publish(kShop, {MakeNewClass("hen")})->version, 4);
}

// Above 64 classes a version may rest on an earlier one.
TEST(DamageTest, ADamagedWholeVersionCostsThoseThatRestOnIt) {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.path());
    std::vector<NewClass> many;
    for (int i = 0; i < 80; ++i) {
      many.push_back(MakeNewClass(absl::StrCat(i)));
    }
    ASSERT_TRUE(store->Publish(kShop, many).ok());
    ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
  }
  RawDatabase(folder.path()).Damage("meta", VersionKey(kShop, 1));
  const auto store = MustOpen(folder.path());
  for (const int64_t version : {1, 2, 0}) {
    EXPECT_EQ(store->GetVocabulary(kShop, version).status().code(), kDataLoss);
  }
  EXPECT_EQ(store->Publish(kShop, {MakeNewClass("cat")}).status().code(),
            kDataLoss);
  EXPECT_TRUE(store->GetPrototypeSet(MakeNewClass("dog").prototype_key).ok());
}

TEST(DamageTest, ADamagedLabelIsNotGivenAnew) {
  const TempFolder folder;
  ASSERT_TRUE(MustOpen(folder.path())
                  ->Publish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")})
                  .ok());
  RawDatabase(folder.path()).Damage("meta", LabelKey(kShop, "dog"));
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->Publish(kShop, {MakeNewClass("dog", 2)}).status().code(),
            kDataLoss);
  EXPECT_EQ(store->Publish(kShop, {MakeNewClass("cat", 2)})->version, 2);
  EXPECT_EQ(store->GetVocabulary(kShop, 0)->classes[0].name, "dog");
}

TEST(DamageTest, ADamagedJobIsCounted) {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.path());
    ASSERT_TRUE(store->PutJob("a", "first").ok());
    ASSERT_TRUE(store->PutJob("b", "second").ok());
  }
  RawDatabase(folder.path()).Damage("jobs", "a");
  int64_t damaged = 0;
  const auto jobs = MustOpen(folder.path())->ListJobs(&damaged);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(damaged, 1);
  ASSERT_EQ(jobs->size(), 1U);
  EXPECT_EQ((*jobs)[0].second, "second");
}

TEST(DamageTest, ADamagedFormatRecordClosesTheDoor) {
  const TempFolder folder;
  MustOpen(folder.path()).reset();
  RawDatabase(folder.path()).Damage("sys", std::string(kStoreFormatKey));
  EXPECT_EQ(OpenRocksDbStore({.path = folder.path()}).status().code(),
            kDataLoss);
}

// A value that is whole but belongs to another key.
TEST(DamageTest, AMisplacedRecordIsRefused) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  const NewClass cat = MakeNewClass("cat");
  MustOpen(folder.path())->Publish(kShop, {dog, cat}).value();
  {
    RawDatabase raw(folder.path());
    raw.Put("proto", ContentTableKey(dog.prototype_key),
            raw.Get("proto", ContentTableKey(cat.prototype_key)));
  }
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->GetPrototypeSet(dog.prototype_key).status().code(),
            kDataLoss);
  EXPECT_TRUE(store->GetPrototypeSet(cat.prototype_key).ok());
}

class FileDamageTest : public testing::Test {
 protected:
  static constexpr int kSets = 6;

  void SetUp() override {
    {
      const auto store = MustOpen(folder_.path());
      for (int i = 0; i < kSets; ++i) {
        records_.push_back(MakePrototypeRecord(i, 64, 32));
        ASSERT_TRUE(
            store->PutPrototypeSet(KeyOf(records_[i]), records_[i]).ok());
      }
      ASSERT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
    }
    RawDatabase(folder_.path()).Flush();
  }

  // Reads all sets: each is exactly what was written, or refused. Returns how
  // many were refused.
  int CountRefused(const PrototypeStore& store) {
    int refused = 0;
    for (const PrototypeRecord& record : records_) {
      const auto found = store.GetPrototypeSet(KeyOf(record));
      if (found.ok()) {
        EXPECT_EQ(Difference(*found, record), "");
      } else {
        EXPECT_THAT(found.status().code(),
                    AnyOf(Eq(kDataLoss), Eq(absl::StatusCode::kUnavailable)))
            << found.status();
        ++refused;
      }
    }
    return refused;
  }

  TempFolder folder_;
  std::vector<PrototypeRecord> records_;
};

TEST_F(FileDamageTest, AFlippedByteInABlobFileCostsOneRecord) {
  const std::vector<std::string> files = FilesOf(folder_.path(), ".blob");
  ASSERT_EQ(files.size(), 1U);
  const size_t size = std::filesystem::file_size(files[0]);
  for (int i = 1; i < 8; ++i) {
    const size_t offset = size * i / 8;
    FlipByte(files[0], offset);
    {
      const auto store = MustOpen(folder_.path());
      ASSERT_NE(store, nullptr);
      EXPECT_EQ(CountRefused(*store), 1) << offset;
      EXPECT_EQ(store->GetVocabulary(kShop, 0)->classes.size(), 1U);
    }
    FlipByte(files[0], offset);  // Back.
  }
  EXPECT_EQ(CountRefused(*MustOpen(folder_.path())), 0);
}

TEST_F(FileDamageTest, AFlippedByteInAnSstFileIsNeverServed) {
  std::mt19937 random(7);
  int noticed = 0;
  for (const std::string& file : FilesOf(folder_.path(), ".sst")) {
    const size_t size = std::filesystem::file_size(file);
    for (int i = 0; i < 12; ++i) {
      const size_t offset = random() % size;
      FlipByte(file, offset);
      const auto store = OpenRocksDbStore({.path = folder_.path()});
      if (store.ok()) {
        noticed += CountRefused(**store) > 0 ? 1 : 0;
        const auto head = (*store)->GetVocabulary(kShop, 0);
        noticed += head.ok() ? 0 : 1;
        EXPECT_TRUE(!head.ok() || head->classes.size() == 1);
      } else {
        EXPECT_EQ(store.status().code(), kDataLoss) << store.status();
        ++noticed;
      }
      FlipByte(file, offset);
    }
  }
  EXPECT_GT(noticed, 0);
  EXPECT_EQ(CountRefused(*MustOpen(folder_.path())), 0);
}

TEST_F(FileDamageTest, ATruncatedOrMissingBlobFileIsNeverServed) {
  const std::string file = FilesOf(folder_.path(), ".blob").at(0);
  const size_t size = std::filesystem::file_size(file);
  std::filesystem::resize_file(file, size / 2);
  for (int round = 0; round < 2; ++round) {
    const auto store = OpenRocksDbStore({.path = folder_.path()});
    if (store.ok()) {
      EXPECT_GT(CountRefused(**store), 0);
    } else {
      EXPECT_EQ(store.status().code(), kDataLoss) << store.status();
      EXPECT_THAT(store.status().message(), HasSubstr(folder_.path()));
    }
    std::filesystem::remove(file);
  }
}

}  // namespace
}  // namespace ovdiff::store
