// What may stand in text that callers give. Its normal form, which names
// content and finds duplicates, is engine/text/prompt_text.h's.
#ifndef OVDIFF_SERVER_PROMPT_TEXT_H_
#define OVDIFF_SERVER_PROMPT_TEXT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::server {

// Code points of `text`. kInvalidArgument unless it is UTF-8.
absl::StatusOr<int64_t> CountCharacters(absl::string_view text);

// Whether a control, format-breaking or unassigned code point (Unicode Cc, Cs,
// Co, Cn, Zl, Zp, bidirectional embeddings, overrides and isolates) is in
// `text`. REQUIRES: valid UTF-8.
bool HasControlCharacters(absl::string_view text);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PROMPT_TEXT_H_
