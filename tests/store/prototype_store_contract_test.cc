// The contract of store/prototype_store.h, on every implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Kind { kRocksDb, kRocksDbFloat16, kInMemory };

const VocabularyId kShop = {.project = "default", .name = "shop"};

class PrototypeStoreContractTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kInMemory) {
      store_ = NewInMemoryStore();
      return;
    }
    auto store = OpenRocksDbStore(
        {.path = folder_.path(),
         .float16_payload = GetParam() == Kind::kRocksDbFloat16});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void TearDown() override { store_.reset(); }

  Vocabulary MustPublish(const VocabularyId& id,
                         const std::vector<NewClass>& classes) {
    auto vocabulary = store_->Publish(id, classes);
    EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
    return vocabulary.ok() ? *std::move(vocabulary) : Vocabulary();
  }

  std::vector<std::string> NamesOf(const Vocabulary& vocabulary) {
    std::vector<std::string> names;
    for (const ClassEntry& entry : vocabulary.classes) {
      names.push_back(entry.name);
    }
    return names;
  }

  TempFolder folder_;
  std::unique_ptr<PrototypeStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, PrototypeStoreContractTest,
                         testing::Values(Kind::kRocksDb, Kind::kRocksDbFloat16,
                                         Kind::kInMemory),
                         [](const testing::TestParamInfo<Kind>& info) {
                           return info.param == Kind::kRocksDb ? "RocksDb"
                                  : info.param == Kind::kRocksDbFloat16
                                      ? "RocksDbFloat16"
                                      : "InMemory";
                         });

TEST_P(PrototypeStoreContractTest, GivesBackPrototypeSets) {
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

TEST_P(PrototypeStoreContractTest, GivesBackSupportSets) {
  const SupportRecord record = MakeSupportRecord(1, 32);
  EXPECT_FALSE(store_->HasSupportSet(KeyOf(record)).value());
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(record), record).ok());
  EXPECT_TRUE(store_->HasSupportSet(KeyOf(record)).value());
  EXPECT_FALSE(store_->HasPrototypeSet(KeyOf(record)).value());
  const auto found = store_->GetSupportSet(KeyOf(record));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Difference(*found, record), "");
}

TEST_P(PrototypeStoreContractTest, MissingSetsAreNotFound) {
  const ContentKey key = TestDigest("nothing");
  const auto set = store_->GetPrototypeSet(key);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(set.status().message(), HasSubstr(ToHex(key)));
  EXPECT_EQ(store_->GetSupportSet(key).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(PrototypeStoreContractTest, TheFirstRecordOfAKeyStays) {
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

TEST_P(PrototypeStoreContractTest, RefusesBadPrototypeSets) {
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

TEST_P(PrototypeStoreContractTest, RefusesBadSupportSets) {
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

TEST_P(PrototypeStoreContractTest, PublishMakesAVersionWithItsSets) {
  const NewClass dog = MakeNewClass("dog");
  NewClass sky = MakeNewClass("sky");
  sky.kind = ClassKind::kStuff;
  const Vocabulary made = MustPublish(kShop, {dog, sky});
  EXPECT_EQ(made.version, 1);
  EXPECT_EQ(made.id.name, "shop");
  ASSERT_EQ(made.classes.size(), 2U);
  EXPECT_EQ(made.classes[0].name, "dog");
  EXPECT_EQ(made.classes[0].prompt, dog.prompt);
  EXPECT_EQ(made.classes[0].label, 1);
  EXPECT_EQ(made.classes[0].prototype_key, dog.prototype_key);
  EXPECT_EQ(made.classes[0].support_key, dog.support_key);
  EXPECT_EQ(made.classes[1].kind, ClassKind::kStuff);
  EXPECT_EQ(made.classes[1].label, 2);
  EXPECT_LT(absl::Now() - made.create_time, absl::Minutes(1));
  EXPECT_EQ(Difference(store_->GetVocabulary(kShop, 0).value(), made), "");
  EXPECT_EQ(
      Difference(store_->GetPrototypeSet(dog.prototype_key).value(), *dog.set),
      "");
  EXPECT_EQ(
      Difference(store_->GetPrototypeSet(sky.prototype_key).value(), *sky.set),
      "");
}

TEST_P(PrototypeStoreContractTest, VersionsStayAsTheyWere) {
  std::vector<Vocabulary> versions;
  versions.push_back(MustPublish(kShop, {MakeNewClass("dog")}));
  versions.push_back(MustPublish(kShop, {MakeNewClass("cat")}));
  auto removed = store_->RemoveClasses(kShop, {{"dog"}});
  ASSERT_TRUE(removed.ok()) << removed.status();
  versions.push_back(*removed);
  versions.push_back(MustPublish(kShop, {MakeNewClass("cat", 7)}));
  for (size_t i = 0; i < versions.size(); ++i) {
    const auto version = static_cast<int64_t>(i) + 1;
    EXPECT_EQ(versions[i].version, version);
    const auto found = store_->GetVocabulary(kShop, version);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(Difference(*found, versions[i]), "");
  }
}

// Enough classes for versions that are kept as differences, and enough changes
// for whole ones between them.
TEST_P(PrototypeStoreContractTest, ManyVersionsReadBackExactly) {
  std::vector<NewClass> first;
  for (int i = 0; i < 70; ++i) {
    first.push_back(MakeNewClass(absl::StrCat("class ", i)));
  }
  std::vector<Vocabulary> versions = {MustPublish(kShop, first)};
  for (int i = 0; i < 40; ++i) {
    if (i % 7 == 6) {
      const std::string name = versions.back().classes[i % 5].name;
      auto removed = store_->RemoveClasses(kShop, {{name}});
      ASSERT_TRUE(removed.ok()) << removed.status();
      versions.push_back(*std::move(removed));
    } else {
      // Every third replaces an earlier class.
      const std::string name = absl::StrCat("class ", i % 3 == 2 ? i : 100 + i);
      versions.push_back(MustPublish(kShop, {MakeNewClass(name, i)}));
    }
  }
  for (const Vocabulary& version : versions) {
    const auto found = store_->GetVocabulary(kShop, version.version);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(Difference(*found, version), "");
    uint16_t last_label = 0;
    for (const ClassEntry& entry : found->classes) {
      EXPECT_GT(entry.label, last_label);
      last_label = entry.label;
    }
  }
}

TEST_P(PrototypeStoreContractTest, AReplacedClassKeepsItsLabel) {
  const Vocabulary first =
      MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  const NewClass new_dog = MakeNewClass("dog", 5);
  const Vocabulary second = MustPublish(kShop, {new_dog});
  ASSERT_EQ(second.classes.size(), 2U);
  EXPECT_EQ(second.classes[0].label, first.classes[0].label);
  EXPECT_EQ(second.classes[0].prototype_key, new_dog.prototype_key);
  EXPECT_GE(second.classes[0].add_time, first.classes[0].add_time);
  EXPECT_EQ(second.classes[1].add_time, first.classes[1].add_time);
}

TEST_P(PrototypeStoreContractTest, ALabelWaitsForItsClassToComeBack) {
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  ASSERT_TRUE(store_->RemoveClasses(kShop, {{"dog"}}).ok());
  const Vocabulary with_cow = MustPublish(kShop, {MakeNewClass("cow")});
  EXPECT_EQ(with_cow.classes.back().label, 3);  // Not the dog's.
  const Vocabulary back = MustPublish(kShop, {MakeNewClass("dog")});
  EXPECT_THAT(NamesOf(back), ElementsAre("dog", "cat", "cow"));
  EXPECT_EQ(back.classes[0].label, 1);
}

TEST_P(PrototypeStoreContractTest, NoChangeMakesNoVersion) {
  const Vocabulary first = MustPublish(kShop, {MakeNewClass("dog")});
  EXPECT_EQ(Difference(MustPublish(kShop, {MakeNewClass("dog")}), first), "");
  EXPECT_EQ(Difference(MustPublish(kShop, {}), first), "");
  const auto none_removed = store_->RemoveClasses(kShop, {});
  ASSERT_TRUE(none_removed.ok());
  EXPECT_EQ(Difference(*none_removed, first), "");
  EXPECT_EQ(store_->GetVocabulary(kShop, 2).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(PrototypeStoreContractTest, AClassMayUseASetThatIsThere) {
  NewClass dog = MakeNewClass("dog");
  ASSERT_TRUE(store_->PutPrototypeSet(dog.prototype_key, *dog.set).ok());
  dog.set.reset();
  EXPECT_EQ(MustPublish(kShop, {dog}).version, 1);
  NewClass cat = MakeNewClass("cat");
  cat.set.reset();
  const auto refused = store_->Publish(kShop, {cat});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(refused.status().message(), HasSubstr("'cat'"));
  EXPECT_EQ(store_->GetVocabulary(kShop, 0)->version, 1);
}

TEST_P(PrototypeStoreContractTest, APublishThatFailsChangesNothing) {
  const NewClass dog = MakeNewClass("dog");
  NewClass cat = MakeNewClass("cat");
  cat.set.reset();
  EXPECT_FALSE(store_->Publish(kShop, {dog, cat}).ok());
  EXPECT_EQ(store_->GetVocabulary(kShop, 0).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(store_->HasPrototypeSet(dog.prototype_key).value());
  // Nor was a label given away.
  EXPECT_EQ(MustPublish(kShop, {MakeNewClass("cow")}).classes[0].label, 1);
}

TEST_P(PrototypeStoreContractTest, TwoClassesMayShareASet) {
  const NewClass dog = MakeNewClass("dog");
  NewClass hound = dog;
  hound.name = "hound";
  const Vocabulary made = MustPublish(kShop, {dog, hound});
  EXPECT_THAT(NamesOf(made), ElementsAre("dog", "hound"));
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 1);
}

TEST_P(PrototypeStoreContractTest, RefusesBadClasses) {
  const auto code = [this](const VocabularyId& id,
                           const std::vector<NewClass>& classes) {
    return store_->Publish(id, classes).status().code();
  };
  const NewClass dog = MakeNewClass("dog");
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(kShop, {dog, dog}), kInvalid);
  EXPECT_EQ(code(kShop, {MakeNewClass("")}), kInvalid);
  EXPECT_EQ(code(kShop, {MakeNewClass(std::string("a\0b", 3))}), kInvalid);
  EXPECT_EQ(code(kShop, {MakeNewClass(std::string(1025, 'x'))}), kInvalid);
  EXPECT_EQ(code({.project = "default", .name = ""}, {dog}), kInvalid);
  EXPECT_EQ(code({.project = "", .name = "shop"}, {dog}), kInvalid);
  EXPECT_EQ(code({.name = std::string("a\0b", 3)}, {dog}), kInvalid);
  EXPECT_EQ(code(kShop, {}), kInvalid);  // Nothing to begin with.
  NewClass bad = dog;
  bad.set->set.spaces.clear();
  EXPECT_EQ(code(kShop, {bad}), kInvalid);
  EXPECT_EQ(store_->Stats()->num_vocabularies, 0);
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 0);
}

TEST_P(PrototypeStoreContractTest, RemoveNamesWhatIsNotThere) {
  EXPECT_EQ(store_->RemoveClasses(kShop, {{"dog"}}).status().code(),
            absl::StatusCode::kNotFound);
  MustPublish(kShop, {MakeNewClass("dog")});
  const auto refused = store_->RemoveClasses(kShop, {{"cat", "dog", "cow"}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(refused.status().message(), HasSubstr("'cat', 'cow'"));
  EXPECT_EQ(store_->GetVocabulary(kShop, 0)->version, 1);
}

TEST_P(PrototypeStoreContractTest, AllClassesMayGo) {
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  const auto empty = store_->RemoveClasses(kShop, {{"cat", "dog", "cat"}});
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->version, 2);
  EXPECT_TRUE(empty->classes.empty());
  EXPECT_TRUE(store_->GetVocabulary(kShop, 0)->classes.empty());
  // The sets stay, for older versions and other vocabularies.
  EXPECT_TRUE(
      store_->HasPrototypeSet(MakeNewClass("dog").prototype_key).value());
}

TEST_P(PrototypeStoreContractTest, MissingVersionsAreNamed) {
  const auto none = store_->GetVocabulary(kShop, 3);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(none.status().message(), HasSubstr("'shop'"));
  MustPublish(kShop, {MakeNewClass("dog")});
  for (const int64_t version : {int64_t{3}, int64_t{-1}}) {
    const auto missing = store_->GetVocabulary(kShop, version);
    EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(missing.status().message(),
                HasSubstr(absl::StrCat("no version ", version,
                                       "; its head is version 1")));
  }
}

TEST_P(PrototypeStoreContractTest, AllLabelsGivenIsAnError) {
  // One set for all, and 65535 names in a few steps.
  const NewClass shared = MakeNewClass("shared");
  ASSERT_TRUE(store_->PutPrototypeSet(shared.prototype_key, *shared.set).ok());
  std::vector<NewClass> classes(65535);
  for (size_t i = 0; i < classes.size(); ++i) {
    classes[i].name = absl::StrCat(i);
    classes[i].prototype_key = shared.prototype_key;
  }
  const Vocabulary full = MustPublish(kShop, classes);
  ASSERT_EQ(full.classes.size(), 65535U);
  EXPECT_EQ(full.classes.back().label, 65535);
  const auto refused = store_->Publish(kShop, {shared});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.status().message(), HasSubstr("65535"));
  // A known name needs no new label, and another vocabulary has its own.
  ASSERT_TRUE(store_->RemoveClasses(kShop, {{"7"}}).ok());
  EXPECT_EQ(MustPublish(kShop, {classes[7]}).classes[7].label, 8);
  EXPECT_EQ(MustPublish({.name = "other"}, {shared}).classes[0].label, 1);
}

TEST_P(PrototypeStoreContractTest, ProjectsAreNamespaces) {
  const VocabularyId ours = {.project = "ours", .name = "shop"};
  MustPublish(kShop, {MakeNewClass("dog")});
  MustPublish(ours, {MakeNewClass("dog")});
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 1);  // One copy for both.
  EXPECT_EQ(store_->Stats()->num_vocabularies, 2);
  ASSERT_TRUE(store_->RemoveClasses(ours, {{"dog"}}).ok());
  EXPECT_EQ(store_->GetVocabulary(kShop, 0)->classes.size(), 1U);
  EXPECT_TRUE(store_->GetVocabulary(ours, 0)->classes.empty());
}

TEST_P(PrototypeStoreContractTest, ListsVocabulariesInOrderByPages) {
  const std::vector<std::string> names = {"a", "a b", "aa", "b", "\xc3\xa9"};
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    MustPublish({.project = "p", .name = *name}, {MakeNewClass("dog")});
  }
  MustPublish({.project = "p", .name = "b"}, {MakeNewClass("cat")});
  MustPublish({.project = "o", .name = "x"}, {MakeNewClass("dog")});
  MustPublish({.project = "pp", .name = "y"}, {MakeNewClass("dog")});
  const auto page = [this](const std::string& after, int64_t limit) {
    std::vector<std::string> found;
    const auto summaries = store_->ListVocabularies("p", after, limit);
    EXPECT_TRUE(summaries.ok()) << summaries.status();
    for (const VocabularySummary& summary : *summaries) {
      EXPECT_EQ(summary.id.project, "p");
      EXPECT_EQ(summary.version, summary.id.name == "b" ? 2 : 1);
      EXPECT_EQ(summary.num_classes, summary.id.name == "b" ? 2 : 1);
      found.push_back(summary.id.name);
    }
    return found;
  };
  EXPECT_EQ(page("", 100), names);
  EXPECT_THAT(page("", 2), ElementsAre("a", "a b"));
  EXPECT_THAT(page("a b", 2), ElementsAre("aa", "b"));
  EXPECT_THAT(page("b", 2), ElementsAre("\xc3\xa9"));
  EXPECT_THAT(page("ab", 1), ElementsAre("b"));  // After a name not there.
  EXPECT_THAT(page("\xc3\xa9", 2), ElementsAre());
  EXPECT_THAT(page("", 0), ElementsAre());
  EXPECT_TRUE(store_->ListVocabularies("none", "", 10)->empty());
}

TEST_P(PrototypeStoreContractTest, KeepsJobs) {
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

TEST_P(PrototypeStoreContractTest, CountsWhatItHolds) {
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 0);
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  const SupportRecord support = MakeSupportRecord(1);
  ASSERT_TRUE(store_->PutSupportSet(KeyOf(support), support).ok());
  const auto stats = store_->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->num_prototype_sets, 2);
  EXPECT_EQ(stats->num_support_sets, 1);
  EXPECT_EQ(stats->num_vocabularies, 1);
  EXPECT_EQ(stats->disk_bytes > 0, GetParam() != Kind::kInMemory);
  EXPECT_TRUE(store_->Health().ok()) << store_->Health();
}

// Threads publish to one vocabulary and to their own, and read: versions go up
// by one each, and nothing that was acknowledged is missing.
TEST_P(PrototypeStoreContractTest, ConcurrentPublishesQueueAndLoseNothing) {
  constexpr int kThreads = 4;
  constexpr int kClasses = 12;
  std::vector<std::vector<int64_t>> seen(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const VocabularyId own = {.name = absl::StrCat("own ", t)};
      for (int i = 0; i < kClasses; ++i) {
        const NewClass added = MakeNewClass(absl::StrCat(t, " ", i), i);
        const auto shared = store_->Publish(kShop, {added});
        ASSERT_TRUE(shared.ok()) << shared.status();
        seen[t].push_back(shared->version);
        const auto mine = store_->Publish(own, {added});
        ASSERT_TRUE(mine.ok()) << mine.status();
        EXPECT_EQ(mine->version, i + 1);
        EXPECT_EQ(mine->classes.size(), static_cast<size_t>(i) + 1);
        const auto head = store_->GetVocabulary(kShop, 0);
        ASSERT_TRUE(head.ok()) << head.status();
        EXPECT_GE(head->version, shared->version);
        EXPECT_TRUE(store_->GetPrototypeSet(added.prototype_key).ok());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::vector<bool> made(kThreads * kClasses + 1, false);
  for (const std::vector<int64_t>& versions : seen) {
    for (size_t i = 0; i < versions.size(); ++i) {
      EXPECT_TRUE(i == 0 || versions[i] > versions[i - 1]);
      EXPECT_FALSE(made.at(static_cast<size_t>(versions[i])));
      made[static_cast<size_t>(versions[i])] = true;
    }
  }
  const Vocabulary head = store_->GetVocabulary(kShop, 0).value();
  EXPECT_EQ(head.version, kThreads * kClasses);
  EXPECT_EQ(head.classes.size(), static_cast<size_t>(kThreads * kClasses));
}

// Writers of the same key agree, whoever is first.
TEST_P(PrototypeStoreContractTest, ConcurrentPutsOfOneKeyKeepOneRecord) {
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
