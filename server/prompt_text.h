// Text that callers give: UTF-8 checks and the normal form that names content.
#ifndef OVDIFF_SERVER_PROMPT_TEXT_H_
#define OVDIFF_SERVER_PROMPT_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::server {

// Code points of `text`. kInvalidArgument unless it is UTF-8.
absl::StatusOr<int64_t> CountCharacters(absl::string_view text);

// Whether a control, format-breaking or unassigned code point (Unicode Cc, Cs,
// Co, Cn, Zl, Zp) is in `text`. REQUIRES: valid UTF-8.
bool HasControlCharacters(absl::string_view text);

// As the tokenizer reads it: NFC, lower case, runs of white space one space,
// none at the ends. Two prompts with one normal form make the same pictures and
// share one prototype set; two names with one normal form are duplicates.
// kInvalidArgument unless it is UTF-8.
absl::StatusOr<std::string> NormalizePrompt(absl::string_view text);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PROMPT_TEXT_H_
