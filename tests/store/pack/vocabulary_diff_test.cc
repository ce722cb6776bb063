#include "store/pack/vocabulary_diff.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

// A class whose only space is "sd" of two dimensions, with one class vector at
// `degrees` and one part at `part_degrees`.
NewClass ClassAt(const std::string& name, double degrees, double part_degrees,
                 const std::string& prompt = "") {
  PrototypeRecord record;
  record.prompt = prompt.empty() ? absl::StrCat(name, degrees) : prompt;
  record.generator_fingerprint = TestDigest("generator");
  record.encoder_fingerprint = TestDigest("encoder");
  FeatureSpacePrototypes& sd = record.set.spaces.emplace_back();
  sd.space = "sd";
  sd.dim = 2;
  for (const double angle : {degrees, part_degrees}) {
    const double radians = angle * M_PI / 180;
    // Lengths must not matter.
    sd.foreground.values.push_back(static_cast<float>(7 * std::cos(radians)));
    sd.foreground.values.push_back(static_cast<float>(7 * std::sin(radians)));
  }
  sd.foreground.levels = {PrototypeLevel::kClass, PrototypeLevel::kPart};
  sd.foreground.source_pictures = {-1, 0};
  NewClass out;
  out.name = name;
  out.prompt = record.prompt;
  out.prototype_key = KeyOf(record);
  out.support_key = SupportKey(record.prompt, record.generator_fingerprint);
  out.set = record;
  return out;
}

class VocabularyDiffTest : public ::testing::Test {
 protected:
  Vocabulary Publish(const std::vector<NewClass>& classes) {
    const auto head = store_->Publish({.name = "shop"}, classes);
    EXPECT_TRUE(head.ok()) << head.status();
    return *head;
  }
  Vocabulary Remove(const std::string& name) {
    const auto head = store_->RemoveClasses({.name = "shop"}, {name});
    EXPECT_TRUE(head.ok()) << head.status();
    return *head;
  }
  VocabularyDiff Diff(const Vocabulary& from, const Vocabulary& to,
                      const DiffOptions& options = {}) {
    auto diff = DiffVocabularies(*store_, from, to, options, CallControl());
    EXPECT_TRUE(diff.ok()) << diff.status();
    return diff.ok() ? *std::move(diff) : VocabularyDiff();
  }

  const std::unique_ptr<PrototypeStore> store_ = NewInMemoryStore();
};

TEST_F(VocabularyDiffTest, FindsWhatWasAddedRemovedAndChanged) {
  const Vocabulary from = Publish(
      {ClassAt("cat", 0, 0), ClassAt("dog", 90, 90), ClassAt("cow", 180, 180)});
  Publish({ClassAt("cow", 240, 180), ClassAt("ant", 300, 300)});
  const Vocabulary to = Remove("dog");
  const VocabularyDiff diff = Diff(from, to);
  ASSERT_EQ(diff.added.size(), 1u);
  EXPECT_EQ(diff.added[0].name, "ant");
  ASSERT_EQ(diff.removed.size(), 1u);
  EXPECT_EQ(diff.removed[0].name, "dog");
  EXPECT_EQ(diff.num_unchanged, 1);
  ASSERT_EQ(diff.changed.size(), 1u);
  const ChangedClass& cow = diff.changed[0];
  EXPECT_EQ(cow.before.name, "cow");
  EXPECT_FALSE(cow.is_other_encoder);
  ASSERT_EQ(cow.drift.size(), 1u);
  EXPECT_EQ(cow.drift[0].space, "sd");
  EXPECT_NEAR(cow.drift[0].cosine, 0.5, 1e-6);  // 60 degrees, class level only.
  EXPECT_TRUE(diff.unreadable.empty());
  EXPECT_EQ(diff.num_pairs_left_out, 0);
}

TEST_F(VocabularyDiffTest, AVersionHasNoDifferenceFromItself) {
  const Vocabulary only = Publish({ClassAt("cat", 0, 0), ClassAt("dog", 1, 1)});
  const VocabularyDiff diff = Diff(only, only);
  EXPECT_TRUE(diff.added.empty() && diff.removed.empty() &&
              diff.changed.empty() && diff.newly_confusable.empty());
  EXPECT_EQ(diff.num_unchanged, 2);
}

TEST_F(VocabularyDiffTest, OnlyPairsThatBecameConfusableAreReported) {
  // cat and lynx are confusable from the first.
  const Vocabulary from = Publish(
      {ClassAt("cat", 0, 0), ClassAt("lynx", 5, 5), ClassAt("dog", 90, 90)});
  // dog comes near to cat by a part, and wolf is new beside dog.
  const Vocabulary to = Publish({ClassAt("dog", 120, 10), ClassAt("lynx", 4, 4),
                                 ClassAt("wolf", 125, 200)});
  const VocabularyDiff diff = Diff(from, to, {.confusable_threshold = 0.98});
  ASSERT_EQ(diff.newly_confusable.size(), 3u);
  EXPECT_EQ(diff.newly_confusable[0].first, "cat");
  EXPECT_EQ(diff.newly_confusable[0].second, "dog");
  EXPECT_NEAR(diff.newly_confusable[0].cosine, std::cos(10 * M_PI / 180), 1e-6);
  ASSERT_TRUE(diff.newly_confusable[0].cosine_before.has_value());
  EXPECT_NEAR(*diff.newly_confusable[0].cosine_before, 0.0, 1e-6);
  EXPECT_EQ(diff.newly_confusable[1].first, "dog");
  EXPECT_EQ(diff.newly_confusable[1].second, "lynx");
  EXPECT_EQ(diff.newly_confusable[2].second, "wolf");
  EXPECT_FALSE(diff.newly_confusable[2].cosine_before.has_value());
}

// Also opposite ones, where that is asked for.
TEST_F(VocabularyDiffTest, TheLowestThresholdReportsEveryNewPair) {
  const Vocabulary from = Publish({ClassAt("cat", 0, 0)});
  const Vocabulary to = Publish({ClassAt("dog", 180, 180)});
  const VocabularyDiff diff = Diff(from, to, {.confusable_threshold = -1});
  ASSERT_EQ(diff.newly_confusable.size(), 1u);
  EXPECT_NEAR(diff.newly_confusable[0].cosine, -1.0, 1e-6);
}

TEST_F(VocabularyDiffTest, WorkIsBounded) {
  std::vector<NewClass> classes;
  for (int i = 0; i < 10; ++i) {
    classes.push_back(ClassAt(absl::StrCat("class ", i), i * 36, i * 36));
  }
  const Vocabulary from = Publish({ClassAt("first", 18, 18)});
  const Vocabulary to = Publish(classes);
  EXPECT_EQ(Diff(from, to).num_pairs_left_out, 0);
  // A pair takes 2 * 2 * 2 multiply-adds; there are 10 + 10 * 9 / 2 pairs.
  const VocabularyDiff diff = Diff(from, to, {.max_operations = 8 * 20});
  EXPECT_EQ(diff.num_pairs_left_out, 55 - 19);
  EXPECT_EQ(diff.added.size(), 10u);
}

TEST_F(VocabularyDiffTest, AMissingSetIsNamedAndTheRestIsCompared) {
  const Vocabulary from = Publish({ClassAt("cat", 0, 0)});
  Vocabulary to = Publish({ClassAt("dog", 1, 1), ClassAt("cow", 90, 90)});
  ASSERT_EQ(to.classes[2].name, "cow");
  to.classes[2].prototype_key = TestDigest("nothing");
  const VocabularyDiff diff = Diff(from, to);
  ASSERT_EQ(diff.unreadable.size(), 1u);
  EXPECT_EQ(diff.unreadable[0].first, "cow");
  EXPECT_EQ(diff.num_pairs_left_out, 2);  // With cat and with dog.
  ASSERT_EQ(diff.newly_confusable.size(), 1u);
  EXPECT_EQ(diff.newly_confusable[0].first, "cat");
}

TEST_F(VocabularyDiffTest, ACancelledCallEnds) {
  const Vocabulary from = Publish({ClassAt("cat", 0, 0)});
  const Vocabulary to = Publish({ClassAt("dog", 1, 1)});
  CallControl control;
  control.cancellation.Cancel();
  EXPECT_EQ(DiffVocabularies(*store_, from, to, {}, control).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ovdiff::store
