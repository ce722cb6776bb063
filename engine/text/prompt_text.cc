#include "engine/text/prompt_text.h"

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "utf8proc.h"

namespace ovdiff::engine {
namespace {

constexpr int32_t kCapitalIWithDot = 0x130;
constexpr absl::string_view kSmallIAndDot = "i\xCC\x87";

// The code point at the front of `text` and its length in bytes; length 0
// where the bytes are not UTF-8.
struct CodePoint {
  int32_t value = 0;
  size_t bytes = 0;
};

CodePoint FirstCodePoint(absl::string_view text) {
  utf8proc_int32_t value = 0;
  const utf8proc_ssize_t bytes =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &value);
  return bytes > 0 ? CodePoint{value, static_cast<size_t>(bytes)} : CodePoint{};
}

enum class Kind { kSpace, kLetter, kNumber, kOther };

Kind KindOf(int32_t value) {
  // Unicode's White_Space: the separators and these controls.
  if ((value >= 0x9 && value <= 0xD) || value == 0x85) {
    return Kind::kSpace;
  }
  switch (utf8proc_category(value)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return Kind::kSpace;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Kind::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Kind::kNumber;
    default:
      return Kind::kOther;
  }
}

void AppendUtf8(int32_t value, std::string* text) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(value, bytes);
  text->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

absl::Status CheckUtf8(absl::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = FirstCodePoint(text.substr(at)).bytes;
    if (bytes == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the text is not valid UTF-8 at byte ", at));
    }
    at += bytes;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Compose(absl::string_view text) {
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &composed,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(
      composed, &std::free);
  if (size < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text cannot be normalised: ", utf8proc_errmsg(size)));
  }
  return std::string(reinterpret_cast<const char*>(composed),
                     static_cast<size_t>(size));
}

// Length of the contraction at the front of `text`, or 0.
size_t ContractionBytes(absl::string_view text) {
  for (const absl::string_view contraction :
       {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (absl::StartsWith(text, contraction)) {
      return contraction.size();
    }
  }
  return 0;
}

// Length of the run of `kind` at the front of `text`.
size_t RunBytes(absl::string_view text, Kind kind) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint next = FirstCodePoint(text.substr(at));
    if (next.bytes == 0 || KindOf(next.value) != kind) {
      break;
    }
    at += next.bytes;
  }
  return at;
}

}  // namespace

absl::StatusOr<std::string> NormalizeText(absl::string_view text) {
  OVDIFF_RETURN_IF_ERROR(CheckUtf8(text));
  OVDIFF_ASSIGN_OR_RETURN(const std::string composed, Compose(text));
  std::string normalized;
  bool after_space = false;
  for (absl::string_view rest = composed; !rest.empty();) {
    const CodePoint next = FirstCodePoint(rest);
    rest.remove_prefix(next.bytes);
    const bool is_space = KindOf(next.value) == Kind::kSpace;
    if (is_space && !after_space) {
      normalized.push_back(' ');
    } else if (next.value == kCapitalIWithDot) {
      absl::StrAppend(&normalized, kSmallIAndDot);
    } else if (!is_space) {
      AppendUtf8(utf8proc_tolower(next.value), &normalized);
    }
    after_space = is_space;
  }
  return normalized;
}

absl::StatusOr<std::string> NormalizePrompt(absl::string_view text) {
  absl::StatusOr<std::string> normalized = NormalizeText(text);
  if (!normalized.ok()) {
    return normalized;
  }
  // NormalizeText leaves at most one space at each end.
  if (!normalized->empty() && normalized->back() == ' ') {
    normalized->pop_back();
  }
  if (!normalized->empty() && normalized->front() == ' ') {
    normalized->erase(0, 1);
  }
  return normalized;
}

std::vector<absl::string_view> SplitWords(absl::string_view text) {
  std::vector<absl::string_view> words;
  while (!text.empty()) {
    const CodePoint next = FirstCodePoint(text);
    const Kind kind = KindOf(next.value);
    size_t bytes = ContractionBytes(text);
    if (bytes == 0) {
      bytes = kind == Kind::kNumber ? next.bytes : RunBytes(text, kind);
    }
    if (bytes == 0) {
      break;  // not UTF-8, against the contract
    }
    if (kind != Kind::kSpace) {
      words.push_back(text.substr(0, bytes));
    }
    text.remove_prefix(bytes);
  }
  return words;
}

}  // namespace ovdiff::engine
