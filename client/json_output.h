// Messages as JSON for scripts.
#ifndef OVDIFF_CLIENT_JSON_OUTPUT_H_
#define OVDIFF_CLIENT_JSON_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace ovdiff::client {

using Json = nlohmann::ordered_json;

// Any of our messages, fields under their names in the proto. Unlike protobuf's
// own mapping, 64-bit numbers are numbers, enum values are short ("succeeded"),
// a `colour` is "#rrggbb", times are RFC 3339, and bytes are left out.
Json ToJson(const google::protobuf::Message& message);

// {"code": "NOT_FOUND", "message": "…", "retry_after_seconds": 1.5}
Json ErrorJson(const absl::Status& status);

// Text of it; bytes that are not UTF-8 become U+FFFD. indent -1: one line.
std::string Dump(const Json& json, int indent = 2);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_JSON_OUTPUT_H_
