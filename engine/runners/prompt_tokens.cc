#include "engine/runners/prompt_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/validate_options.h"

namespace ovdiff::engine {
namespace {

constexpr int64_t kStartAndEnd = 2;

// Whether `whole` is the three parts one after the other.
bool IsConcatenation(const std::vector<int64_t>& whole,
                     const std::vector<int64_t>& before,
                     const std::vector<int64_t>& middle,
                     const std::vector<int64_t>& after) {
  std::vector<int64_t> joined = before;
  joined.insert(joined.end(), middle.begin(), middle.end());
  joined.insert(joined.end(), after.begin(), after.end());
  return joined == whole;
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> UnpaddedIds(const ClipTokenizer& tokenizer,
                                                 const std::string& text,
                                                 int64_t context_length) {
  OVDIFF_ASSIGN_OR_RETURN(std::vector<int64_t> ids, tokenizer.Encode(text));
  if (static_cast<int64_t>(ids.size()) > context_length - kStartAndEnd) {
    ids.resize(static_cast<size_t>(context_length - kStartAndEnd));
  }
  ids.insert(ids.begin(), tokenizer.start_id());
  ids.push_back(tokenizer.end_id());
  return ids;
}

absl::StatusOr<std::vector<int64_t>> PaddedIds(const ClipTokenizer& tokenizer,
                                               const std::string& text,
                                               int64_t context_length) {
  return tokenizer.EncodeForModel(text, context_length, tokenizer.pad_id());
}

absl::StatusOr<PromptTokens> TokenizePrompt(const ClipTokenizer& tokenizer,
                                            const std::string& prompt_template,
                                            const std::string& prompt,
                                            int64_t context_length) {
  const size_t slot = prompt_template.find(kTemplateSlot);
  const std::string before = prompt_template.substr(0, slot);
  const std::string after =
      prompt_template.substr(slot + std::string(kTemplateSlot).size());
  const std::string text = absl::StrCat(before, prompt, after);
  OVDIFF_ASSIGN_OR_RETURN(const auto whole, tokenizer.Encode(text));
  OVDIFF_ASSIGN_OR_RETURN(const auto head, tokenizer.Encode(before));
  OVDIFF_ASSIGN_OR_RETURN(const auto middle, tokenizer.Encode(prompt));
  OVDIFF_ASSIGN_OR_RETURN(const auto tail, tokenizer.Encode(after));
  if (middle.empty()) {
    return absl::InvalidArgumentError(
        "the prompt is empty or nothing but white space; name the class");
  }
  const auto length = static_cast<int64_t>(whole.size()) + kStartAndEnd;
  if (length > context_length) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the prompt has ", middle.size(), " tokens, ", length,
        " with template, start and end; the text encoder takes at most ",
        context_length, ": shorten it by ", length - context_length));
  }
  if (!IsConcatenation(whole, head, middle, tail)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt runs into the words of the template \"",
                     prompt_template, "\": put spaces around {}"));
  }
  PromptTokens tokens;
  OVDIFF_ASSIGN_OR_RETURN(tokens.ids,
                          PaddedIds(tokenizer, text, context_length));
  for (size_t i = 0; i < middle.size(); ++i) {
    tokens.class_columns.push_back(static_cast<int64_t>(1 + head.size() + i));
  }
  return tokens;
}

}  // namespace ovdiff::engine
