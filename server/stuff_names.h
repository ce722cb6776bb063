// The names that are stuff where the caller does not say.
#ifndef OVDIFF_SERVER_STUFF_NAMES_H_
#define OVDIFF_SERVER_STUFF_NAMES_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ovdiff::server {

// Each once, as KindOfText() compares them: lower case, single spaces. "* sky"
// stands for "sky" and for "sky" after one other word.
absl::Span<const absl::string_view> StuffNames();

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STUFF_NAMES_H_
