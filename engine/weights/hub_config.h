// ReadHubConfig: a hub folder's JSON file, bounded and with clear errors.
#ifndef OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_H_
#define OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {

// Configurations are a few KB; an index of many shards a few MB.
inline constexpr size_t kMaxHubConfigBytes = size_t{16} << 20;

// Reads a JSON file whose root is an object. Never throws. Fails with
//   kNotFound            no file at `path`
//   kFailedPrecondition  not a regular file, larger than `max_bytes`, not valid
//                        UTF-8 JSON, nested deeper than 32, a duplicate key, or
//                        no object; the message names the path
absl::StatusOr<nlohmann::json> ReadHubConfig(
    const std::string& path, size_t max_bytes = kMaxHubConfigBytes);

// Reads config[key] into *value when it is there and not null, else leaves the
// default that *value holds. kFailedPrecondition names key and value when the
// type is wrong (a float for an integer, a number for a bool, …).
absl::Status GetConfigValue(const nlohmann::json& config, absl::string_view key,
                            int64_t* value);
absl::Status GetConfigValue(const nlohmann::json& config, absl::string_view key,
                            double* value);
absl::Status GetConfigValue(const nlohmann::json& config, absl::string_view key,
                            bool* value);
absl::Status GetConfigValue(const nlohmann::json& config, absl::string_view key,
                            std::string* value);

// The error for a value that the code does not implement.
inline absl::Status UnsupportedConfigValue(absl::string_view key,
                                           const nlohmann::json& value,
                                           absl::string_view allowed) {
  return absl::FailedPreconditionError(absl::StrCat(
      "config key '", key, "' is ",
      value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
          .substr(0, 200),
      "; supported: ", allowed));
}

// kFailedPrecondition unless minimum <= value <= maximum. Bounds keep a damaged
// configuration from asking for terabytes.
absl::Status CheckConfigRange(absl::string_view key, int64_t value,
                              int64_t minimum, int64_t maximum);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_H_
