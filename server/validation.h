// Checks of what callers name. Every refusal is kInvalidArgument with
// BadRequest{field} and says what was found and what is allowed.
#ifndef OVDIFF_SERVER_VALIDATION_H_
#define OVDIFF_SERVER_VALIDATION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// 1 to 64 of a-z, 0-9, '-', '_', '.'; first a letter or digit.
absl::Status ValidateVocabularyName(absl::string_view name);
// Up to 64 of A-Z, a-z, 0-9, '-', '_'; empty only if `may_be_empty`.
absl::Status ValidateJobId(absl::string_view id, absl::string_view field,
                           bool may_be_empty);
// 1 to `max_characters` printable characters of valid UTF-8: a name, a prompt.
absl::Status ValidateText(absl::string_view text, absl::string_view field,
                          int max_characters);
// 1 to max_class_name_characters printable characters of valid UTF-8.
absl::Status ValidateClassName(absl::string_view name, absl::string_view field,
                               const Limits& limits);
// Names, prompts (validate_prompt_spec.h), kinds and number of the classes; no
// two names that are equal after normalisation (prompt_text.h).
absl::Status ValidateClasses(
    const google::protobuf::RepeatedPtrField<v1::ClassSpec>& classes,
    const Limits& limits);
// Whether `classes` may join those of `head`: no name equal to another one
// there after normalisation, and not too many together (kFailedPrecondition).
absl::Status ValidateVocabularyRoom(
    const google::protobuf::RepeatedPtrField<v1::ClassSpec>& classes,
    const store::Vocabulary& head, const Limits& limits);
// 0 becomes 100; more than 1000 becomes 1000; negative is refused.
absl::StatusOr<int> PageSize(int requested);
absl::Status ValidateVersion(int64_t version);

// `text` for a message: cut at 60 characters, control characters as "?".
std::string Quoted(absl::string_view text);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_VALIDATION_H_
