#include "server/page_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/sha256.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

constexpr size_t kCheckBytes = 8;

std::string CheckOf(absl::string_view list, absl::string_view position) {
  Sha256 hash;
  hash.UpdateField("ovdiff.page.1");
  hash.UpdateField(list);
  hash.UpdateField(position);
  const Sha256Digest digest = hash.Finish();
  return std::string(digest.begin(), digest.begin() + kCheckBytes);
}

}  // namespace

std::string MakePageToken(absl::string_view list, absl::string_view position) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(CheckOf(list, position), position));
}

absl::StatusOr<std::string> ParsePageToken(absl::string_view list,
                                           absl::string_view token) {
  std::string bytes;
  if (absl::WebSafeBase64Unescape(token, &bytes) &&
      bytes.size() >= kCheckBytes) {
    std::string position = bytes.substr(kCheckBytes);
    if (CheckOf(list, position) == bytes.substr(0, kCheckBytes)) {
      return position;
    }
  }
  return FieldError("page_token",
                    "page_token is not from a page of this list (vocabulary "
                    "and version must be those of the first page); begin "
                    "again without one",
                    reasons::kInvalidPageToken);
}

}  // namespace ovdiff::server
