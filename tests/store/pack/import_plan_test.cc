#include "store/pack/import_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "cat" as it is, "dog" of other content, "cow" new.
class ImportPlanTest : public ::testing::Test {
 protected:
  ImportPlanTest() {
    const auto head = store_->Publish(
        {.name = "shop"}, {MakeNewClass("cat"), MakeNewClass("dog", 1)});
    EXPECT_TRUE(head.ok()) << head.status();
    head_ = *head;
  }

  const std::unique_ptr<PrototypeStore> store_ = NewInMemoryStore();
  const std::vector<NewClass> wanted_ = {
      MakeNewClass("cat"), MakeNewClass("dog", 2), MakeNewClass("cow", 3)};
  Vocabulary head_;
};

TEST_F(ImportPlanTest, AConflictFailsAndNamesTheClass) {
  const auto plan = PlanImport(wanted_, &head_, ConflictPolicy::kFail);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("'dog'"));
  EXPECT_THAT(std::string(plan.status().message()),
              ::testing::Not(HasSubstr("'cat'")));
}

TEST_F(ImportPlanTest, AConflictIsReplacedOrSkipped) {
  const auto replaced = PlanImport(wanted_, &head_, ConflictPolicy::kReplace);
  ASSERT_TRUE(replaced.ok());
  EXPECT_THAT(*replaced,
              ElementsAre(ImportOutcome::kUnchanged, ImportOutcome::kReplaced,
                          ImportOutcome::kAdded));
  EXPECT_EQ(ClassesToPublish(wanted_, *replaced).size(), 2u);
  const auto skipped = PlanImport(wanted_, &head_, ConflictPolicy::kSkip);
  ASSERT_TRUE(skipped.ok());
  EXPECT_THAT(*skipped,
              ElementsAre(ImportOutcome::kUnchanged, ImportOutcome::kSkipped,
                          ImportOutcome::kAdded));
  const auto published = ClassesToPublish(wanted_, *skipped);
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0].name, "cow");
}

TEST_F(ImportPlanTest, AnotherKindIsOtherContent) {
  std::vector<NewClass> wanted = {MakeNewClass("cat")};
  wanted[0].kind = ClassKind::kStuff;
  EXPECT_EQ(PlanImport(wanted, &head_, ConflictPolicy::kFail).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(ImportPlanTest, WithoutAVocabularyAllIsAdded) {
  const auto plan = PlanImport(wanted_, nullptr, ConflictPolicy::kFail);
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(*plan, ElementsAre(ImportOutcome::kAdded, ImportOutcome::kAdded,
                                 ImportOutcome::kAdded));
}

}  // namespace
}  // namespace ovdiff::store
