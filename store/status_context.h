// WithContext: says what an error is about, once, where it is known.
#ifndef OVDIFF_STORE_STATUS_CONTEXT_H_
#define OVDIFF_STORE_STATUS_CONTEXT_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ovdiff::store {

// Same code, message "<context>: <message>". OK stays OK.
inline absl::Status WithContext(absl::string_view context,
                                const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_STATUS_CONTEXT_H_
