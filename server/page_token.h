// Page tokens: opaque to callers, bound to the list they come from.
#ifndef OVDIFF_SERVER_PAGE_TOKEN_H_
#define OVDIFF_SERVER_PAGE_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::server {

// `list` says what is listed (for classes, vocabulary and version); `position`
// where the next page begins.
std::string MakePageToken(absl::string_view list, absl::string_view position);

// The position. kInvalidArgument for a token that was altered, or made for
// another list. Says nothing of who made it: a token grants no right.
absl::StatusOr<std::string> ParsePageToken(absl::string_view list,
                                           absl::string_view token);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PAGE_TOKEN_H_
