// Structured logs: one event, some fields, one line; text or JSON, on stderr.
#ifndef OVDIFF_SERVER_LOG_H_
#define OVDIFF_SERVER_LOG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ovdiff::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Fields in the order written. Class names and prompts are callers' data: no
// field carries them; only messages of errors may.
using LogFields = nlohmann::ordered_json;

// "debug", "info", "warning", "error" or "off"; anything else is as "info".
// Call once, before other threads log. Until then, logs are text at "info".
void InitLogging(absl::string_view level, bool as_json);

// Thread-safe. Text: `2026-01-02T03:04:05.678Z info event key=value …`. JSON:
// {"time":…,"level":…,"event":…,fields…}.
void Log(LogLevel level, absl::string_view event,
         const LogFields& fields = LogFields::object());

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_LOG_H_
