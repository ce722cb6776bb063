// What may enter the store. All fail with kInvalidArgument, saying what was
// found and what is allowed. Pure functions.
#ifndef OVDIFF_STORE_VALIDATION_H_
#define OVDIFF_STORE_VALIDATION_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

// Far above what the server lets in; they bound what a damaged record can ask.
inline constexpr size_t kMaxNameBytes = 1024;  // Projects, vocabularies, …
inline constexpr size_t kMaxPromptBytes = 64 << 10;
inline constexpr int32_t kMaxDim = 1 << 20;
inline constexpr int32_t kMaxAttributionSide = 1 << 14;

// 1 to kMaxNameBytes bytes, no NUL (it separates the parts of a key). `what`
// opens the message: "the class name".
absl::Status ValidateName(absl::string_view what, absl::string_view name);
absl::Status ValidateVocabularyId(const VocabularyId& id);
absl::Status ValidatePrototypeRecord(const PrototypeRecord& record);
absl::Status ValidateSupportRecord(const SupportRecord& record);
// Names valid and distinct, sets valid.
absl::Status ValidateNewClasses(absl::Span<const NewClass> classes);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_VALIDATION_H_
