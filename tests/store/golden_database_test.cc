// Databases that released programs have written, in tests/store/golden: this
// one opens them, finds everything, and goes on from there.
#include "tests/store/golden_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

// Folder under golden/, as the program named so wrote it.
class GoldenDatabaseTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = folder_.path() + "/store";
    std::filesystem::copy(std::string(GOLDEN_FOLDER "/") + GetParam(), path_);
  }

  static void ExpectGolden(PrototypeStore& store) {
    const Vocabulary shop = store.GetVocabulary(kGoldenShop, 0).value();
    EXPECT_EQ(shop.version, 2);
    ASSERT_EQ(shop.classes.size(), 2U);
    EXPECT_EQ(shop.classes[0].name, "dog");
    EXPECT_EQ(shop.classes[1].name, "aurochs");
    EXPECT_EQ(shop.classes[1].label, 3);
    const Vocabulary first = store.GetVocabulary(kGoldenShop, 1).value();
    ASSERT_EQ(first.classes.size(), 3U);
    EXPECT_EQ(first.classes[1].kind, ClassKind::kStuff);
    EXPECT_EQ(store.GetVocabulary(kGoldenZoo, 0)->classes.size(), 72U);
    EXPECT_EQ(store.GetVocabulary(kGoldenZoo, 1)->classes.size(), 70U);
    for (const NewClass& wanted :
         {MakeNewClass("dog"), MakeNewClass("sky", 2), GoldenLargeClass()}) {
      EXPECT_EQ(Difference(store.GetPrototypeSet(wanted.prototype_key).value(),
                           *wanted.set),
                "");
    }
    const SupportRecord support = MakeSupportRecord(3, 4);
    EXPECT_EQ(Difference(store.GetSupportSet(KeyOf(support)).value(), support),
              "");
    const auto jobs = store.ListJobs(nullptr).value();
    ASSERT_EQ(jobs.size(), 1U);
    EXPECT_EQ(jobs[0].second, std::string("job\0bytes", 9));
    const StoreStats stats = store.Stats().value();
    EXPECT_EQ(stats.num_prototype_sets, 3);
    EXPECT_EQ(stats.num_vocabularies, 2);
    const auto verified = store.admin().Verify({}, CallControl(), nullptr);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->num_problems, 0);
  }

  TempFolder folder_;
  std::string path_;
};

INSTANTIATE_TEST_SUITE_P(Formats, GoldenDatabaseTest,
                         testing::Values("database_format_1",
                                         "database_format_1_marked"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST_P(GoldenDatabaseTest, OpensAndGoesOn) {
  {
    const auto store = MustOpen(path_);
    ASSERT_NE(store, nullptr);
    ExpectGolden(*store);
    // The sky's label waits for it; the next name gets the next one.
    const Vocabulary next = store
                                ->Publish(kGoldenShop, {MakeNewClass("sky", 2),
                                                        MakeNewClass("cow")})
                                .value();
    ASSERT_EQ(next.classes.size(), 4U);
    EXPECT_EQ(next.classes[1].label, 2);
    EXPECT_EQ(next.classes[3].label, 4);
  }
  EXPECT_EQ(MustOpen(path_)->GetVocabulary(kGoldenShop, 0)->version, 3);
}

TEST_P(GoldenDatabaseTest, OpensReadOnly) {
  const auto store =
      OpenRocksDbStore({.path = path_, .mode = StoreMode::kReadOnly});
  ASSERT_TRUE(store.ok()) << store.status();
  ExpectGolden(**store);
}

TEST_P(GoldenDatabaseTest, RecoveringChangesNothingInIt) {
  RecoveryReport report;
  const auto store =
      OpenRocksDbStore({.path = path_, .mode = StoreMode::kRecover}, &report);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT(report.actions, testing::IsEmpty());
  ExpectGolden(**store);
}

}  // namespace
}  // namespace ovdiff::store
