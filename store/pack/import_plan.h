// What an import does to a vocabulary, class by class. Pure functions.
#ifndef OVDIFF_STORE_PACK_IMPORT_PLAN_H_
#define OVDIFF_STORE_PACK_IMPORT_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// What to do with a class whose name is in the vocabulary with other content:
// another prompt, kind or prototype set.
enum class ConflictPolicy : uint8_t { kFail, kReplace, kSkip };

enum class ImportOutcome : uint8_t {
  kAdded,
  kUnchanged,  // There already, with the same content.
  kReplaced,   // In place of other content of that name.
  kSkipped,    // Other content of that name stays.
};

// The outcome of each of `classes` in `head` (null: no such vocabulary yet).
// kAlreadyExists with kFail, naming up to ten of the classes.
absl::StatusOr<std::vector<ImportOutcome>> PlanImport(
    absl::Span<const NewClass> classes, const Vocabulary* head,
    ConflictPolicy policy);

// The classes that are added or replaced, for Publish().
std::vector<NewClass> ClassesToPublish(
    absl::Span<const NewClass> classes,
    absl::Span<const ImportOutcome> outcomes);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PACK_IMPORT_PLAN_H_
