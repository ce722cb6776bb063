// What only a store on disk has: reopening, other formats, other openers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const VocabularyId kShop = {.project = "default", .name = "shop"};

TEST(RocksDbPrototypeStoreTest, ReopeningGivesEverythingBack) {
  const TempFolder folder;
  const SupportRecord support = MakeSupportRecord(4);
  const NewClass dog = MakeNewClass("dog");
  Vocabulary first;
  Vocabulary second;
  {
    const auto store = MustOpen(folder.path());
    first = store->Publish(kShop, {dog, MakeNewClass("cat")}).value();
    second = store->RemoveClasses(kShop, {{"cat"}}).value();
    ASSERT_TRUE(store->PutSupportSet(KeyOf(support), support).ok());
    ASSERT_TRUE(store->PutJob("job", "bytes").ok());
  }
  // First from the log, then from files.
  for (int round = 0; round < 2; ++round) {
    {
      const auto store = MustOpen(folder.path());
      EXPECT_EQ(Difference(store->GetVocabulary(kShop, 1).value(), first), "");
      EXPECT_EQ(Difference(store->GetVocabulary(kShop, 0).value(), second), "");
      const auto set = store->GetPrototypeSet(dog.prototype_key);
      EXPECT_EQ(Difference(set.value(), *dog.set), "");
      const auto pictures = store->GetSupportSet(KeyOf(support));
      EXPECT_EQ(Difference(pictures.value(), support), "");
      EXPECT_EQ(store->ListJobs(nullptr)->size(), 1U);
      EXPECT_EQ(store->Stats()->num_prototype_sets, 2);
    }
    RawDatabase(folder.path()).Flush();
  }
  // The label of the cat has not been given away.
  const auto store = MustOpen(folder.path());
  const Vocabulary third =
      store->Publish(kShop, {MakeNewClass("cow"), MakeNewClass("cat")}).value();
  EXPECT_EQ(third.version, 3);
  ASSERT_EQ(third.classes.size(), 3U);
  EXPECT_EQ(third.classes[1].name, "cat");
  EXPECT_EQ(third.classes[1].label, 2);
  EXPECT_EQ(third.classes[2].label, 3);
}

TEST(RocksDbPrototypeStoreTest, BothPayloadTypesAreRead) {
  const TempFolder folder;
  PrototypeRecord wide = MakePrototypeRecord(1);
  PrototypeRecord narrow = MakePrototypeRecord(2);
  narrow.set.spaces[0].foreground.values[0] = 0.1f;  // Not exact in binary16.
  PrototypeRecord large = MakePrototypeRecord(3);
  large.set.spaces[0].foreground.values[0] = 1e6f;  // Beyond binary16.
  {
    const auto store = MustOpen(folder.path());
    ASSERT_TRUE(store->PutPrototypeSet(KeyOf(wide), wide).ok());
  }
  {
    const auto store =
        OpenRocksDbStore({.path = folder.path(), .float16_payload = true});
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->PutPrototypeSet(KeyOf(narrow), narrow).ok());
    ASSERT_TRUE((*store)->PutPrototypeSet(KeyOf(large), large).ok());
  }
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(Difference(store->GetPrototypeSet(KeyOf(wide)).value(), wide), "");
  EXPECT_EQ(Difference(store->GetPrototypeSet(KeyOf(large)).value(), large),
            "");
  const PrototypeRecord rounded = store->GetPrototypeSet(KeyOf(narrow)).value();
  EXPECT_EQ(rounded.set.spaces[0].foreground.values[0], 0.0999755859375f);
}

TEST(RocksDbPrototypeStoreTest, AMissingDatabaseIsNotMadeUnasked) {
  const TempFolder folder;
  const std::string path = folder.path() + "/deep/store";
  const auto missing =
      OpenRocksDbStore({.path = path, .create_if_missing = false});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr(path));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_NE(MustOpen(path), nullptr);
  EXPECT_TRUE(
      OpenRocksDbStore({.path = path, .create_if_missing = false}).ok());
}

TEST(RocksDbPrototypeStoreTest, AFolderThatCannotBeIsUnavailable) {
  const TempFolder folder;
  const std::string file = folder.path() + "/file";
  std::ofstream(file) << "not a folder";
  const auto refused = OpenRocksDbStore({.path = file + "/store"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr(file));
}

TEST(RocksDbPrototypeStoreTest, ASecondOpenerIsRefused) {
  const TempFolder folder;
  auto store = MustOpen(folder.path());
  const auto second = OpenRocksDbStore({.path = folder.path()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.status().message(),
              AllOf(HasSubstr(folder.path()), HasSubstr("holds it open")));
  // The first is none the worse, and lets go when it closes.
  EXPECT_TRUE(store->Publish(kShop, {MakeNewClass("dog")}).ok());
  store.reset();
  EXPECT_NE(MustOpen(folder.path()), nullptr);
}

TEST(RocksDbPrototypeStoreTest, ANewerFormatIsRefusedUnlessItAllowsUs) {
  const TempFolder folder;
  MustOpen(folder.path()).reset();
  const std::string key(kStoreFormatKey);
  RawDatabase(folder.path())
      .Put("sys", key,
           EncodeStoreFormat({.format_version = 3,
                              .min_reader_version = 2,
                              .create_time = absl::UnixEpoch()}));
  const auto refused = OpenRocksDbStore({.path = folder.path()});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr(folder.path()), HasSubstr("format 3"),
                    HasSubstr("up to format 1")));
  RawDatabase(folder.path())
      .Put("sys", key,
           EncodeStoreFormat({.format_version = 3,
                              .min_reader_version = 1,
                              .create_time = absl::UnixEpoch()}));
  EXPECT_NE(MustOpen(folder.path()), nullptr);
}

TEST(RocksDbPrototypeStoreTest, AnUnknownTableMeansANewerFormat) {
  const TempFolder folder;
  MustOpen(folder.path()).reset();
  {
    RawDatabase raw(folder.path());
    raw.AddTable("outbox");
    raw.Put("sys", std::string(kStoreFormatKey),
            EncodeStoreFormat({.format_version = 4,
                               .min_reader_version = 4,
                               .create_time = absl::UnixEpoch()}));
  }
  for (int round = 0; round < 2; ++round) {  // Being refused changes nothing.
    const auto refused = OpenRocksDbStore({.path = folder.path()});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(refused.status().message(),
                AllOf(HasSubstr("newer format (4;"), HasSubstr("'outbox'"),
                      HasSubstr("up to format 1")));
  }
}

TEST(RocksDbPrototypeStoreTest, ARecordOfANewerFormatIsRefusedAlone) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  const NewClass cat = MakeNewClass("cat");
  MustOpen(folder.path())->Publish(kShop, {dog, cat}).value();
  {
    RawDatabase raw(folder.path());
    const std::string key = ContentTableKey(dog.prototype_key);
    raw.Put("proto", key,
            SealEnvelope(RecordType::kPrototypeSet, PayloadType::kFloat32,
                         raw.Get("proto", key).substr(kEnvelopeBytes), 2));
  }
  const auto store = MustOpen(folder.path());
  EXPECT_EQ(store->GetPrototypeSet(dog.prototype_key).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(store->GetPrototypeSet(cat.prototype_key).ok());
  // Nor is it written over by a program that does not understand it.
  EXPECT_EQ(store->PutPrototypeSet(dog.prototype_key, *dog.set).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(RocksDbPrototypeStoreTest, ItsOwnLogIsInTheFolder) {
  const TempFolder folder;
  MustOpen(folder.path()).reset();
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/LOG"));
}

}  // namespace
}  // namespace ovdiff::store
