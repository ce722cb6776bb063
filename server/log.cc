#include "server/log.h"

#include <atomic>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace ovdiff::server {
namespace {

std::atomic<bool> log_as_json{false};

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_logger_mt("ovdiffd");
    made->set_pattern("%v");
    made->flush_on(spdlog::level::warn);
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

absl::string_view LevelName(LogLevel level) {
  constexpr absl::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

std::string AsText(const LogFields& fields) {
  std::string out;
  for (const auto& [key, value] : fields.items()) {
    // JSON's quoting is unambiguous and keeps a line one line.
    absl::StrAppend(
        &out, " ", key, "=",
        value.dump(-1, ' ', false, LogFields::error_handler_t::replace));
  }
  return out;
}

}  // namespace

void InitLogging(absl::string_view level, bool as_json) {
  log_as_json = as_json;
  const std::string name(level == "warn" ? "warning" : level);
  auto parsed = spdlog::level::from_str(name);
  if (parsed == spdlog::level::off && level != "off") {
    parsed = spdlog::level::info;
  }
  Logger().set_level(parsed);
}

void Log(LogLevel level, absl::string_view event, const LogFields& fields) {
  if (!Logger().should_log(ToSpdlog(level))) {
    return;
  }
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                            absl::UTCTimeZone());
  std::string line;
  if (log_as_json) {
    LogFields record = {{"time", time},
                        {"level", std::string(LevelName(level))},
                        {"event", std::string(event)}};
    record.update(fields);
    line = record.dump(-1, ' ', false, LogFields::error_handler_t::replace);
  } else {
    line =
        absl::StrCat(time, " ", LevelName(level), " ", event, AsText(fields));
  }
  Logger().log(ToSpdlog(level), "{}", line);
}

}  // namespace ovdiff::server
