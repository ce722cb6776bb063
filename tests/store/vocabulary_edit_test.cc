#include "store/vocabulary_edit.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

ClassEntry Entry(uint16_t label, int seed = 0) {
  ClassEntry entry;
  entry.name = absl::StrCat("class ", label);
  entry.prompt = absl::StrCat(seed);
  entry.label = label;
  entry.add_time = absl::FromUnixSeconds(seed);
  return entry;
}

std::vector<ClassEntry> EntriesTo(uint16_t last_label) {
  std::vector<ClassEntry> entries;
  for (uint16_t label = 1; label <= last_label; ++label) {
    entries.push_back(Entry(label));
  }
  return entries;
}

Vocabulary MakeVocabulary(int64_t version, std::vector<ClassEntry> classes) {
  Vocabulary vocabulary;
  vocabulary.id.name = "v";
  vocabulary.version = version;
  vocabulary.classes = std::move(classes);
  return vocabulary;
}

// Random edits from a whole version: the difference leads back exactly.
TEST(VocabularyEditTest, DifferencesLeadBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<ClassEntry> classes;
    for (uint16_t label = 1; label <= 200; ++label) {
      if (random() % 2 == 0) {
        classes.push_back(Entry(label));
      }
    }
    const VersionRecord base =
        MakeVersionRecord(MakeVocabulary(1, classes), nullptr);
    ASSERT_EQ(base.base_version, 0);
    const int num_edits = static_cast<int>(random() % 6);
    for (int i = 0; i < num_edits; ++i) {
      const auto label = static_cast<uint16_t>(1 + random() % 200);
      if (random() % 2 == 0) {
        PutClasses({Entry(label, round)}, classes);
      } else {
        std::erase_if(classes, [label](const ClassEntry& entry) {
          return entry.label == label;
        });
      }
    }
    const Vocabulary next = MakeVocabulary(2, classes);
    const VersionRecord record = MakeVersionRecord(next, &base);
    const auto found = ClassesOf(record, &base);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(Difference(MakeVocabulary(2, *found), next), "") << round;
  }
}

TEST(VocabularyEditTest, SmallChangesAreKeptSmall) {
  std::vector<ClassEntry> classes = EntriesTo(1000);
  const VersionRecord base =
      MakeVersionRecord(MakeVocabulary(1, classes), nullptr);
  EXPECT_EQ(base.classes.size(), 1000U);
  classes.push_back(Entry(1001));
  classes.erase(classes.begin());
  const VersionRecord next =
      MakeVersionRecord(MakeVocabulary(2, classes), &base);
  EXPECT_EQ(next.base_version, 1);
  EXPECT_EQ(next.classes.size(), 1U);
  EXPECT_EQ(next.removed_labels, std::vector<uint16_t>{1});
}

TEST(VocabularyEditTest, ClassesAddedOneByOneStayFarFromQuadratic) {
  constexpr uint16_t kClasses = 2000;
  size_t num_entries = 0;
  VersionRecord whole;
  std::vector<ClassEntry> growing;
  for (uint16_t label = 1; label <= kClasses; ++label) {
    growing.push_back(Entry(label));
    VersionRecord record = MakeVersionRecord(MakeVocabulary(label, growing),
                                             label == 1 ? nullptr : &whole);
    num_entries += record.classes.size();
    if (record.base_version == 0) {
      whole = std::move(record);
    }
  }
  EXPECT_LT(num_entries, 130'000U);  // Whole versions: 2,001,000.
}

TEST(VocabularyEditTest, FewClassesAreAlwaysWhole) {
  const VersionRecord base =
      MakeVersionRecord(MakeVocabulary(1, EntriesTo(63)), nullptr);
  EXPECT_EQ(
      MakeVersionRecord(MakeVocabulary(2, EntriesTo(64)), &base).base_version,
      0);
  EXPECT_EQ(
      MakeVersionRecord(MakeVocabulary(2, EntriesTo(65)), &base).base_version,
      1);
}

TEST(VocabularyEditTest, ADifferenceNeedsItsBase) {
  const VersionRecord base =
      MakeVersionRecord(MakeVocabulary(1, EntriesTo(99)), nullptr);
  const VersionRecord next =
      MakeVersionRecord(MakeVocabulary(2, EntriesTo(100)), &base);
  ASSERT_EQ(next.base_version, 1);
  EXPECT_EQ(ClassesOf(next, nullptr).status().code(),
            absl::StatusCode::kDataLoss);
  VersionRecord other = base;
  other.version = 5;
  EXPECT_EQ(ClassesOf(next, &other).status().code(),
            absl::StatusCode::kDataLoss);
  VersionRecord not_whole = base;
  not_whole.base_version = 1;
  EXPECT_EQ(ClassesOf(next, &not_whole).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ovdiff::store
