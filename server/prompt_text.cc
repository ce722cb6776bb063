#include "server/prompt_text.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "utf8proc.h"

namespace ovdiff::server {
namespace {

// Calls `visit(code_point)` for each; kInvalidArgument at the first bad byte.
template <typename Visitor>
absl::Status ForEachCodePoint(absl::string_view text, Visitor visit) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  for (utf8proc_ssize_t at = 0; at < size;) {
    utf8proc_int32_t code_point = 0;
    const utf8proc_ssize_t used =
        utf8proc_iterate(bytes + at, size - at, &code_point);
    if (used <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("not valid UTF-8 at byte ", at));
    }
    visit(code_point);
    at += used;
  }
  return absl::OkStatus();
}

// Embeddings, overrides and isolates make a name look like another in logs.
bool IsBidiControl(utf8proc_int32_t code_point) {
  return (code_point >= 0x202A && code_point <= 0x202E) ||
         (code_point >= 0x2066 && code_point <= 0x2069);
}

}  // namespace

absl::StatusOr<int64_t> CountCharacters(absl::string_view text) {
  int64_t count = 0;
  OVDIFF_RETURN_IF_ERROR(
      ForEachCodePoint(text, [&count](utf8proc_int32_t) { ++count; }));
  return count;
}

bool HasControlCharacters(absl::string_view text) {
  bool found = false;
  const absl::Status status =
      ForEachCodePoint(text, [&found](utf8proc_int32_t code_point) {
        switch (utf8proc_category(code_point)) {
          case UTF8PROC_CATEGORY_CC:
          case UTF8PROC_CATEGORY_CS:
          case UTF8PROC_CATEGORY_CO:
          case UTF8PROC_CATEGORY_CN:
          case UTF8PROC_CATEGORY_ZL:
          case UTF8PROC_CATEGORY_ZP:
            found = true;
            break;
          default:
            found = found || IsBidiControl(code_point);
            break;
        }
      });
  return found || !status.ok();
}

}  // namespace ovdiff::server
