// A class prompt as token ids, and where the class stands in them. Torch-free.
#ifndef OVDIFF_ENGINE_RUNNERS_PROMPT_TOKENS_H_
#define OVDIFF_ENGINE_RUNNERS_PROMPT_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/clip_tokenizer.h"

namespace ovdiff::engine {

struct PromptTokens {
  std::vector<int64_t> ids;            // context length, start, end and padding
  std::vector<int64_t> class_columns;  // positions of the class's tokens
};

// Start token, at most context_length - 2 ids of `text`, end token.
// kInvalidArgument if the text is not UTF-8.
absl::StatusOr<std::vector<int64_t>> UnpaddedIds(const ClipTokenizer& tokenizer,
                                                 const std::string& text,
                                                 int64_t context_length);
// The same, padded to context_length.
absl::StatusOr<std::vector<int64_t>> PaddedIds(const ClipTokenizer& tokenizer,
                                               const std::string& text,
                                               int64_t context_length);

// The prompt put into the template's {}. The class's columns follow from the
// length of what stands before it, not from a search, which a class such as
// "good dog" would mislead (method.md section 1). kInvalidArgument if the
// prompt has no token, does not fit with the template (the message says how
// many tokens there are), or grows together with the template's words.
absl::StatusOr<PromptTokens> TokenizePrompt(const ClipTokenizer& tokenizer,
                                            const std::string& prompt_template,
                                            const std::string& prompt,
                                            int64_t context_length);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_PROMPT_TOKENS_H_
