// What changed between two versions of a vocabulary, and which classes can now
// be taken for each other.
#ifndef OVDIFF_STORE_PACK_VOCABULARY_DIFF_H_
#define OVDIFF_STORE_PACK_VOCABULARY_DIFF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

struct DiffOptions {
  // Two classes are confusable when their best foreground cosine, averaged over
  // the feature spaces that both have, is this or more. -1…1.
  double confusable_threshold = 0.95;
  // Multiply-adds that comparing pairs may take: a minute or so of one core.
  double max_operations = 2e11;
};

struct SpaceDrift {
  std::string space;
  // Of the mean foreground vectors of class level, before and after.
  double cosine = 0;
};

struct ChangedClass {
  ClassEntry before;
  ClassEntry after;
  bool is_other_generator = false;
  // Other weights or another number of parts: with other weights the cosines
  // below say little.
  bool is_other_encoder = false;
  std::vector<SpaceDrift> drift;  // Spaces that both have, in their order.
};

struct ConfusablePair {
  std::string first;  // By name; first < second.
  std::string second;
  double cosine = 0;
  std::optional<double> cosine_before;  // None: one of them was not there.
};

// Classes are matched by name; a label alone is no change. All by name.
struct VocabularyDiff {
  std::vector<ClassEntry> added;
  std::vector<ClassEntry> removed;
  std::vector<ChangedClass> changed;
  int64_t num_unchanged = 0;
  // Confusable in `to` and not in `from`.
  std::vector<ConfusablePair> newly_confusable;
  int64_t num_pairs_left_out = 0;  // For max_operations, or as unreadable.
  // Classes whose set is missing or damaged, with what is wrong.
  std::vector<std::pair<std::string, absl::Status>> unreadable;
};

// Reads sets as it goes and holds some 256 MiB of them. Blocks. Fails as
// `control`, or as the store does when it is not one set's fault.
absl::StatusOr<VocabularyDiff> DiffVocabularies(const PrototypeStore& store,
                                                const Vocabulary& from,
                                                const Vocabulary& to,
                                                const DiffOptions& options,
                                                const CallControl& control);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PACK_VOCABULARY_DIFF_H_
