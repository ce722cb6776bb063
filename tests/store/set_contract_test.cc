// The contract of store/prototype_store.h: sets, jobs and figures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "tests/store/contract_test.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SetContractTest : public StoreContractTest {};

OVDIFF_FOR_EVERY_STORE(SetContractTest);

TEST_P(SetContractTest, GivesBackPrototypeSets) {
  const PrototypeRecord small = MakePrototypeRecord(1);
  const PrototypeRecord large = MakePrototypeRecord(2, 320, 32);  // A blob.
  for (const PrototypeRecord& record : {small, large}) {
    EXPECT_FALSE(store_->HasPrototypeSet(KeyOf(record)).value());
    ASSERT_TRUE(store_->PutPrototypeSet(KeyOf(record), record).ok());
    EXPECT_TRUE(store_->HasPrototypeSet(KeyOf(record)).value());
    EXPECT_FALSE(store_->HasSupportSet(KeyOf(record)).value());
  }
  for (const PrototypeRecord& record : {small, large}) {
    const auto found = store_->GetPrototypeSet(KeyOf(record));
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(Difference(*found, record), "");
  }
}

TEST_P(SetContractTest, GivesBackSupportSets) {
  const SupportRecord record = MakeSupportRecord(1, 32);
  EXPECT_FALSE(store_->HasSupportSet(KeyOf(record)).value());
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(record), record).ok());
  EXPECT_TRUE(store_->HasSupportSet(KeyOf(record)).value());
  EXPECT_FALSE(store_->HasPrototypeSet(KeyOf(record)).value());
  const auto found = store_->GetSupportSet(KeyOf(record));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Difference(*found, record), "");
}

TEST_P(SetContractTest, MissingSetsAreNotFound) {
  const ContentKey key = TestDigest("nothing");
  const auto set = store_->GetPrototypeSet(key);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(set.status().message(), HasSubstr(ToHex(key)));
  EXPECT_EQ(store_->GetSupportSet(key).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(SetContractTest, TheFirstRecordOfAKeyStays) {
  const PrototypeRecord first = MakePrototypeRecord(1);
  const PrototypeRecord second = MakePrototypeRecord(2);
  const ContentKey key = KeyOf(first);
  ASSERT_TRUE(store_->PutPrototypeSet(key, first).ok());
  ASSERT_TRUE(store_->PutPrototypeSet(key, second).ok());
  EXPECT_EQ(Difference(store_->GetPrototypeSet(key).value(), first), "");
  const SupportRecord first_support = MakeSupportRecord(1);
  ASSERT_TRUE(store_->PutSupportSet(key, first_support).ok());
  ASSERT_TRUE(store_->PutSupportSet(key, MakeSupportRecord(2)).ok());
  EXPECT_EQ(Difference(store_->GetSupportSet(key).value(), first_support), "");
}

TEST_P(SetContractTest, RefusesBadPrototypeSets) {
  const auto expect_refused = [this](absl::string_view what, auto change) {
    PrototypeRecord record = MakePrototypeRecord(1);
    change(record);
    EXPECT_EQ(store_->PutPrototypeSet(TestDigest(what), record).code(),
              absl::StatusCode::kInvalidArgument)
        << what;
    EXPECT_FALSE(store_->HasPrototypeSet(TestDigest(what)).value()) << what;
  };
  using Record = PrototypeRecord;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  expect_refused("no space", [](Record& r) { r.set.spaces.clear(); });
  expect_refused("unnamed", [](Record& r) { r.set.spaces[0].space = ""; });
  expect_refused("twice", [](Record& r) { r.set.spaces[0].space = "dino"; });
  expect_refused("dim 0", [](Record& r) { r.set.spaces[0].dim = 0; });
  expect_refused("dim", [](Record& r) { r.set.spaces[0].dim += 1; });
  expect_refused("dim -1", [](Record& r) { r.set.spaces[0].dim = -1; });
  expect_refused("no foreground",
                 [](Record& r) { r.set.spaces[0].foreground = {}; });
  expect_refused("levels", [](Record& r) {
    r.set.spaces[0].foreground.levels.pop_back();
  });
  expect_refused("sources", [](Record& r) {
    r.set.spaces[0].background.source_pictures.push_back(1);
  });
  expect_refused("source -2", [](Record& r) {
    r.set.spaces[0].background.source_pictures[0] = -2;
  });
  expect_refused("level 3", [](Record& r) {
    r.set.spaces[0].foreground.levels[0] = static_cast<PrototypeLevel>(3);
  });
  expect_refused("values", [](Record& r) {
    r.set.spaces[1].foreground.values.pop_back();
  });
  expect_refused(
      "NaN", [nan](Record& r) { r.set.spaces[1].foreground.values[2] = nan; });
  expect_refused("infinite", [inf](Record& r) {
    r.set.spaces[0].background.values[3] = -inf;
  });
  expect_refused("prompt", [](Record& r) { r.prompt.assign(100'000, 'x'); });
}

TEST_P(SetContractTest, RefusesBadSupportSets) {
  const auto expect_refused = [this](absl::string_view what, auto change) {
    SupportRecord record = MakeSupportRecord(1);
    change(record);
    EXPECT_EQ(store_->PutSupportSet(TestDigest(what), record).code(),
              absl::StatusCode::kInvalidArgument)
        << what;
    EXPECT_FALSE(store_->HasSupportSet(TestDigest(what)).value()) << what;
  };
  using Record = SupportRecord;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  expect_refused("no picture", [](Record& r) { r.pictures.clear(); });
  expect_refused("no bytes", [](Record& r) { r.pictures[1].png.clear(); });
  expect_refused("size",
                 [](Record& r) { r.pictures[1].attribution_width = 4; });
  expect_refused("negative size", [](Record& r) {
    r.pictures[1].attribution_width = -3;
    r.pictures[1].attribution_height = -2;
  });
  expect_refused("NaN",
                 [nan](Record& r) { r.pictures[2].attribution[5] = nan; });
  expect_refused("negative",
                 [](Record& r) { r.pictures[0].attribution[0] = -0.5f; });
}

TEST_P(SetContractTest, KeepsJobs) {
  const std::string bytes("\0job\xff", 5);
  ASSERT_TRUE(store_->PutJob("job-2", bytes).ok());
  ASSERT_TRUE(store_->PutJob("job-1", "old").ok());
  ASSERT_TRUE(store_->PutJob("job-1", "new").ok());
  ASSERT_TRUE(store_->PutJob("job-3", "").ok());
  int64_t damaged = -1;
  auto jobs = store_->ListJobs(&damaged);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(damaged, 0);
  EXPECT_THAT(*jobs, ElementsAre(std::pair("job-1", "new"),
                                 std::pair(std::string("job-2"), bytes),
                                 std::pair("job-3", "")));
  ASSERT_TRUE(store_->DeleteJob("job-1").ok());
  ASSERT_TRUE(store_->DeleteJob("job-1").ok());
  ASSERT_TRUE(store_->DeleteJob("never").ok());
  EXPECT_EQ(store_->ListJobs(nullptr)->size(), 2U);
  EXPECT_EQ(store_->PutJob("", "x").code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(SetContractTest, CountsWhatItHolds) {
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 0);
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  const SupportRecord support = MakeSupportRecord(1);
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(support), support).ok());
  const auto stats = store_->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->num_prototype_sets, 2);
  EXPECT_EQ(stats->num_support_sets, 1);
  EXPECT_EQ(stats->num_vocabularies, 1);
  EXPECT_EQ(stats->disk_bytes > 0, GetParam() != StoreKind::kInMemory);
  EXPECT_TRUE(store_->Health().ok()) << store_->Health();
}

TEST_P(SetContractTest, ConcurrentPutsOfOneKeyKeepOneRecord) {
  std::vector<std::thread> threads;
  const ContentKey key = TestDigest("contended");
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, &key, t] {
      EXPECT_TRUE(store_->PutPrototypeSet(key, MakePrototypeRecord(t)).ok());
      const auto first = store_->GetPrototypeSet(key);
      ASSERT_TRUE(first.ok()) << first.status();
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(Difference(store_->GetPrototypeSet(key).value(), *first), "");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 1);
}

}  // namespace
}  // namespace ovdiff::store
