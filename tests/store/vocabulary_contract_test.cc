// The contract of store/prototype_store.h: vocabularies.
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

class VocabularyContractTest : public StoreContractTest {};

OVDIFF_FOR_EVERY_STORE(VocabularyContractTest);

TEST_P(VocabularyContractTest, PublishMakesAVersionWithItsSets) {
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

TEST_P(VocabularyContractTest, VersionsStayAsTheyWere) {
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

TEST_P(VocabularyContractTest, ManyVersionsReadBackExactly) {
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

TEST_P(VocabularyContractTest, AReplacedClassKeepsItsLabel) {
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

TEST_P(VocabularyContractTest, AWishedLabelIsGivenWhereItIsAboveAllOthers) {
  NewClass cat = MakeNewClass("cat");
  cat.label = 7;
  NewClass dog = MakeNewClass("dog");
  dog.label = 3;  // Not above the cat's: the next one instead.
  EXPECT_EQ(MustPublish(kShop, {cat}).classes[0].label, 7);
  EXPECT_EQ(MustPublish(kShop, {dog}).classes[1].label, 8);
  cat.label = 20;  // A name keeps the label it has.
  cat.kind = ClassKind::kStuff;
  EXPECT_EQ(MustPublish(kShop, {cat}).classes[0].label, 7);
  EXPECT_EQ(MustPublish(kShop, {MakeNewClass("cow")}).classes[2].label, 9);
}

TEST_P(VocabularyContractTest, ALabelWaitsForItsClassToComeBack) {
  MustPublish(kShop, {MakeNewClass("dog"), MakeNewClass("cat")});
  ASSERT_TRUE(store_->RemoveClasses(kShop, {{"dog"}}).ok());
  const Vocabulary with_cow = MustPublish(kShop, {MakeNewClass("cow")});
  EXPECT_EQ(with_cow.classes.back().label, 3);  // Not the dog's.
  const Vocabulary back = MustPublish(kShop, {MakeNewClass("dog")});
  EXPECT_THAT(NamesOf(back), ElementsAre("dog", "cat", "cow"));
  EXPECT_EQ(back.classes[0].label, 1);
}

TEST_P(VocabularyContractTest, NoChangeMakesNoVersion) {
  const Vocabulary first = MustPublish(kShop, {MakeNewClass("dog")});
  EXPECT_EQ(Difference(MustPublish(kShop, {MakeNewClass("dog")}), first), "");
  EXPECT_EQ(Difference(MustPublish(kShop, {}), first), "");
  const auto none_removed = store_->RemoveClasses(kShop, {});
  ASSERT_TRUE(none_removed.ok());
  EXPECT_EQ(Difference(*none_removed, first), "");
  EXPECT_EQ(store_->GetVocabulary(kShop, 2).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(VocabularyContractTest, AClassMayUseASetThatIsThere) {
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

TEST_P(VocabularyContractTest, APublishThatFailsChangesNothing) {
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

TEST_P(VocabularyContractTest, TwoClassesMayShareASet) {
  const NewClass dog = MakeNewClass("dog");
  NewClass hound = dog;
  hound.name = "hound";
  const Vocabulary made = MustPublish(kShop, {dog, hound});
  EXPECT_THAT(NamesOf(made), ElementsAre("dog", "hound"));
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 1);
}

TEST_P(VocabularyContractTest, RefusesBadClasses) {
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

TEST_P(VocabularyContractTest, RemoveNamesWhatIsNotThere) {
  EXPECT_EQ(store_->RemoveClasses(kShop, {{"dog"}}).status().code(),
            absl::StatusCode::kNotFound);
  MustPublish(kShop, {MakeNewClass("dog")});
  const auto refused = store_->RemoveClasses(kShop, {{"cat", "dog", "cow"}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(refused.status().message(), HasSubstr("'cat', 'cow'"));
  EXPECT_EQ(store_->GetVocabulary(kShop, 0)->version, 1);
}

TEST_P(VocabularyContractTest, AllClassesMayGo) {
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

TEST_P(VocabularyContractTest, MissingVersionsAreNamed) {
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

TEST_P(VocabularyContractTest, AllLabelsGivenIsAnError) {
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

TEST_P(VocabularyContractTest, ProjectsAreNamespaces) {
  const VocabularyId ours = {.project = "ours", .name = "shop"};
  MustPublish(kShop, {MakeNewClass("dog")});
  MustPublish(ours, {MakeNewClass("dog")});
  EXPECT_EQ(store_->Stats()->num_prototype_sets, 1);  // One copy for both.
  EXPECT_EQ(store_->Stats()->num_vocabularies, 2);
  ASSERT_TRUE(store_->RemoveClasses(ours, {{"dog"}}).ok());
  EXPECT_EQ(store_->GetVocabulary(kShop, 0)->classes.size(), 1U);
  EXPECT_TRUE(store_->GetVocabulary(ours, 0)->classes.empty());
}

TEST_P(VocabularyContractTest, ListsVocabulariesInOrderByPages) {
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

TEST_P(VocabularyContractTest, ConcurrentPublishesQueueAndLoseNothing) {
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

}  // namespace
}  // namespace ovdiff::store
