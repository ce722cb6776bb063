// Text as CLIP's tokenizer sees it: composed, one space, lower case.
#ifndef OVDIFF_ENGINE_TEXT_PROMPT_TEXT_H_
#define OVDIFF_ENGINE_TEXT_PROMPT_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::engine {

// NFC, every run of Unicode white space to one space, lower case by simple
// mapping of each character (so Σ always becomes σ, as in transformers'
// tokenizer; İ becomes i and a combining dot). kInvalidArgument names the byte
// where `text` stops being UTF-8. Thread-safe.
absl::StatusOr<std::string> NormalizeText(absl::string_view text);

// NormalizeText without spaces at the ends: two prompts with the same result
// have the same tokens. For content keys.
absl::StatusOr<std::string> NormalizePrompt(absl::string_view text);

// Splits normalised text into the words that BPE works on: special spellings of
// contractions ('s, 't, 're, 've, 'm, 'll, 'd), runs of letters, single
// numerals, runs of anything else that is no space. Views into `text`, which
// must be valid UTF-8.
std::vector<absl::string_view> SplitWords(absl::string_view text);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_TEXT_PROMPT_TEXT_H_
