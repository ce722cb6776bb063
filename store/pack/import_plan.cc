#include "store/pack/import_plan.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ovdiff::store {
namespace {

constexpr size_t kMaxNamed = 10;

bool IsSame(const NewClass& wanted, const ClassEntry& there) {
  return wanted.prompt == there.prompt && wanted.kind == there.kind &&
         wanted.prototype_key == there.prototype_key &&
         wanted.support_key == there.support_key;
}

absl::Status Conflict(const std::vector<std::string>& names) {
  const size_t num_named = std::min(names.size(), kMaxNamed);
  return absl::AlreadyExistsError(absl::StrCat(
      names.size(), names.size() == 1 ? " class is" : " classes are",
      " in the vocabulary with other content: ",
      absl::StrJoin(names.begin(), names.begin() + num_named, ", "),
      num_named < names.size() ? ", …" : "",
      "; nothing was imported: replace them, skip them, or import into another "
      "vocabulary"));
}

}  // namespace

absl::StatusOr<std::vector<ImportOutcome>> PlanImport(
    absl::Span<const NewClass> classes, const Vocabulary* head,
    ConflictPolicy policy) {
  absl::flat_hash_map<absl::string_view, const ClassEntry*> there;
  if (head != nullptr) {
    for (const ClassEntry& entry : head->classes) {
      there[entry.name] = &entry;
    }
  }
  std::vector<ImportOutcome> outcomes;
  std::vector<std::string> conflicts;
  for (const NewClass& wanted : classes) {
    const auto found = there.find(wanted.name);
    if (found == there.end()) {
      outcomes.push_back(ImportOutcome::kAdded);
    } else if (IsSame(wanted, *found->second)) {
      outcomes.push_back(ImportOutcome::kUnchanged);
    } else {
      conflicts.push_back(absl::StrCat("'", wanted.name, "'"));
      outcomes.push_back(policy == ConflictPolicy::kReplace
                             ? ImportOutcome::kReplaced
                             : ImportOutcome::kSkipped);
    }
  }
  if (policy == ConflictPolicy::kFail && !conflicts.empty()) {
    return Conflict(conflicts);
  }
  return outcomes;
}

std::vector<NewClass> ClassesToPublish(
    absl::Span<const NewClass> classes,
    absl::Span<const ImportOutcome> outcomes) {
  std::vector<NewClass> published;
  for (size_t i = 0; i < classes.size(); ++i) {
    if (outcomes[i] == ImportOutcome::kAdded ||
        outcomes[i] == ImportOutcome::kReplaced) {
      published.push_back(classes[i]);
    }
  }
  return published;
}

}  // namespace ovdiff::store
