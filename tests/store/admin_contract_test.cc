// The contract of store/store_admin.h that needs no disk: verifying and
// collecting garbage; and reading many sets at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/contract_test.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::IsEmpty;

const VocabularyId kOurs = {.project = "ours", .name = "shop"};
const VocabularyId kTheirs = {.project = "theirs", .name = "shop"};

class AdminContractTest : public StoreContractTest {
 protected:
  GarbageReport MustCollect(GarbageOptions options) {
    options.min_age = absl::ZeroDuration();
    auto report = store_->admin().CollectGarbage(options, CallControl());
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : GarbageReport();
  }

  int64_t SetBytes() {
    const StoreStats stats = store_->Stats().value();
    return stats.prototype_bytes + stats.support_bytes;
  }

  void ExpectVerifies(int64_t records) {
    const auto report = store_->admin().Verify({}, CallControl(), nullptr);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->problems, IsEmpty());
    EXPECT_EQ(report->num_problems, 0);
    EXPECT_EQ(report->records, records);
  }
};

OVDIFF_FOR_EVERY_STORE(AdminContractTest);

TEST_P(AdminContractTest, ReadsManySetsAtOnce) {
  std::vector<ContentKey> keys;
  std::vector<PrototypeRecord> records;
  for (int i = 0; i < 40; ++i) {
    // Some are blobs.
    records.push_back(MakePrototypeRecord(i, i % 3 == 0 ? 320 : 5));
    keys.push_back(KeyOf(records.back()));
    ASSERT_TRUE(store_->PutPrototypeSet(keys.back(), records.back()).ok());
  }
  std::vector<ContentKey> asked(keys.rbegin(), keys.rend());
  asked.push_back(TestDigest("not there"));
  asked.push_back(keys[3]);  // Twice.
  const auto found = store_->GetPrototypeSets(asked);
  ASSERT_EQ(found.size(), asked.size());
  for (size_t i = 0; i < records.size(); ++i) {
    const size_t place = records.size() - 1 - i;
    ASSERT_TRUE(found[place].ok()) << found[place].status();
    EXPECT_EQ(Difference(*found[place], records[i]), "");
  }
  EXPECT_EQ(found[40].status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Difference(found[41].value(), records[3]), "");
  EXPECT_TRUE(store_->GetPrototypeSets({}).empty());
  EXPECT_EQ(
      store_->PrototypeSetStates({keys[0], TestDigest("not there")}).value(),
      (std::vector{SetState::kPresent, SetState::kAbsent}));
}

TEST_P(AdminContractTest, AWholeStoreVerifies) {
  ExpectVerifies(0);
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  ASSERT_TRUE(store_->RemoveClasses(kShop, {{"cat"}}).ok());
  const SupportRecord support = MakeSupportRecord(1);
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(support), support).ok());
  ASSERT_TRUE(store_->PutJob("job", "bytes").ok());
  // Two sets, one support set, a head, two versions, two labels, a job.
  ExpectVerifies(9);
}

TEST_P(AdminContractTest, VerifyingStopsWhenCancelledAndTellsHowFarItIs) {
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  CallControl control;
  int64_t told = 0;
  const auto stopped =
      store_->admin().Verify({}, control, [&](const AdminProgress& progress) {
        told = progress.records;
        EXPECT_GE(progress.total_records, 2);
        EXPECT_GT(progress.bytes, 0);
        control.cancellation.Cancel();
      });
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(told, 1);
}

TEST_P(AdminContractTest, GarbageIsWhatNoVersionNeeds) {
  const NewClass dog = MakeNewClass("dog");
  MustPublish(kShop, {dog});
  const PrototypeRecord loose = MakePrototypeRecord(9, 320, 32);
  const SupportRecord pictures = MakeSupportRecord(9);
  const SupportRecord used = [&] {
    SupportRecord record = MakeSupportRecord(1);
    record.prompt = dog.prompt;
    return record;
  }();
  const int64_t needed_before = SetBytes();
  ASSERT_TRUE(store_->PutSupportSet(dog.support_key, used).ok());
  const int64_t needed = SetBytes();
  EXPECT_GT(needed, needed_before);
  ASSERT_TRUE(store_->PutPrototypeSet(KeyOf(loose), loose).ok());
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(pictures), pictures).ok());
  const int64_t all = SetBytes();

  const GarbageReport dry = MustCollect({.dry_run = true});
  EXPECT_TRUE(dry.is_dry_run);
  EXPECT_EQ(dry.num_prototype_sets, 1);
  EXPECT_EQ(dry.num_support_sets, 1);
  EXPECT_EQ(dry.bytes, all - needed);
  ASSERT_EQ(dry.items.size(), 2U);
  EXPECT_EQ(dry.items[0].name, ToHex(KeyOf(loose)));
  EXPECT_EQ(dry.items[1].kind, GarbageItem::Kind::kSupportSet);
  EXPECT_EQ(SetBytes(), all);  // Nothing has gone.

  const GarbageReport kept =
      MustCollect({.dry_run = false, .keep = {KeyOf(loose), KeyOf(pictures)}});
  EXPECT_EQ(kept.bytes, 0);
  const auto young = store_->admin().CollectGarbage(
      {.dry_run = false, .min_age = absl::Now() - absl::UnixEpoch()},
      CallControl());
  EXPECT_EQ(young->bytes, 0);

  const GarbageReport done = MustCollect({.dry_run = false});
  EXPECT_FALSE(done.is_dry_run);
  EXPECT_EQ(done.bytes, all - needed);
  EXPECT_EQ(SetBytes(), needed);
  EXPECT_FALSE(store_->HasPrototypeSet(KeyOf(loose)).value());
  EXPECT_FALSE(store_->HasSupportSet(KeyOf(pictures)).value());
  EXPECT_TRUE(store_->HasSupportSet(dog.support_key).value());
  EXPECT_EQ(
      Difference(store_->GetPrototypeSet(dog.prototype_key).value(), *dog.set),
      "");
  EXPECT_EQ(MustCollect({.dry_run = false}).bytes, 0);
}

// The two projects hold one copy; what one of them gives up stays for the
// other, and when both have, exactly its bytes go.
TEST_P(AdminContractTest, ProjectsShareSetsUntilTheLastGivesThemUp) {
  const NewClass dog = MakeNewClass("dog");
  MustPublish(kOurs, {MakeNewClass("cat")});
  MustPublish(kTheirs, {MakeNewClass("cow")});
  const int64_t without_dog = SetBytes();
  MustPublish(kOurs, {dog});
  const int64_t with_dog = SetBytes();
  const Vocabulary theirs = MustPublish(kTheirs, {dog});
  EXPECT_EQ(SetBytes(), with_dog);

  ASSERT_TRUE(store_->RemoveClasses(kOurs, {{"dog"}}).ok());
  GarbageReport report = MustCollect({.dry_run = false, .keep_versions = 1});
  EXPECT_EQ(report.num_versions, 3);  // Ours 1 and 2, theirs 1.
  EXPECT_EQ(report.num_prototype_sets, 0);
  EXPECT_EQ(SetBytes(), with_dog);
  EXPECT_EQ(Difference(store_->GetVocabulary(kTheirs, 0).value(), theirs), "");
  EXPECT_EQ(
      Difference(store_->GetPrototypeSet(dog.prototype_key).value(), *dog.set),
      "");

  ASSERT_TRUE(store_->RemoveClasses(kTheirs, {{"dog"}}).ok());
  EXPECT_EQ(MustCollect({.dry_run = false}).bytes, 0);  // Theirs 2 needs it.
  report = MustCollect({.dry_run = false, .keep_versions = 1});
  EXPECT_EQ(report.num_versions, 1);
  EXPECT_EQ(report.num_prototype_sets, 1);
  EXPECT_EQ(SetBytes(), without_dog);
  EXPECT_FALSE(store_->HasPrototypeSet(dog.prototype_key).value());
  EXPECT_EQ(store_->GetVocabulary(kOurs, 2).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->GetVocabulary(kOurs, 0)->version, 3);
  // Its label is still its own.
  EXPECT_EQ(MustPublish(kOurs, {dog}).classes.back().label, 2);
}

// Above 64 classes a version may rest on an earlier one: that one stays, what
// only it names does not.
TEST_P(AdminContractTest, OldVersionsThatOthersRestOnStay) {
  std::vector<NewClass> many;
  for (int i = 0; i < 80; ++i) {
    many.push_back(MakeNewClass(absl::StrCat("class ", i)));
  }
  MustPublish(kShop, many);
  for (int i = 0; i < 3; ++i) {
    MustPublish(kShop, {MakeNewClass(absl::StrCat("more ", i))});
  }
  ASSERT_TRUE(store_->RemoveClasses(kShop, {{"class 7"}}).ok());
  const Vocabulary head = MustPublish(kShop, {MakeNewClass("last")});
  const GarbageReport report =
      MustCollect({.dry_run = false, .keep_versions = 1});
  EXPECT_EQ(report.num_prototype_sets, 1);  // Of class 7.
  EXPECT_GE(report.num_versions, 4);
  EXPECT_EQ(Difference(store_->GetVocabulary(kShop, 0).value(), head), "");
  for (const ClassEntry& entry : head.classes) {
    EXPECT_TRUE(store_->HasPrototypeSet(entry.prototype_key).value());
  }
  EXPECT_FALSE(store_->HasPrototypeSet(many[7].prototype_key).value());
  const auto verified = store_->admin().Verify({}, CallControl(), nullptr);
  EXPECT_EQ(verified->num_problems, 0);
  EXPECT_EQ(MustPublish(kShop, {MakeNewClass("next")}).version,
            head.version + 1);
}

// Collections run without pause while others publish sets, new ones and ones
// that were garbage a moment ago: no vocabulary ever misses one.
TEST_P(AdminContractTest, CollectingBesidePublishesTakesNothingThatIsNeeded) {
  constexpr int kRounds = 60;
  std::atomic<bool> is_done{false};
  std::thread collector([&] {
    while (!is_done) {
      MustCollect({.dry_run = false});
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    NewClass added = MakeNewClass(absl::StrCat("class ", i));
    // Two of three bring their set; the third finds one that was put before,
    // unless it has been collected.
    if (i % 3 == 2) {
      ASSERT_TRUE(
          store_->PutPrototypeSet(added.prototype_key, *added.set).ok());
      added.set.reset();
    }
    const auto head = store_->Publish(kShop, {added});
    if (!head.ok()) {
      EXPECT_EQ(head.status().code(), absl::StatusCode::kNotFound);
      EXPECT_EQ(i % 3, 2);
      continue;
    }
    EXPECT_TRUE(store_->HasPrototypeSet(added.prototype_key).value()) << i;
  }
  is_done = true;
  collector.join();
  const Vocabulary head = store_->GetVocabulary(kShop, 0).value();
  EXPECT_GE(head.classes.size(), static_cast<size_t>(kRounds * 2 / 3));
  for (const ClassEntry& entry : head.classes) {
    EXPECT_TRUE(store_->GetPrototypeSet(entry.prototype_key).ok())
        << entry.name;
  }
}

}  // namespace
}  // namespace ovdiff::store
