// ReadHubConfig: a hub folder's JSON file, bounded and with clear errors. What
// its keys mean is engine/nn's business (HubConfig there).
#ifndef OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_FILE_H_
#define OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {

// Configurations are a few KB; an index of many shards a few MB.
inline constexpr size_t kMaxHubConfigBytes = size_t{16} << 20;

// Reads a JSON file whose root is an object; Python's -Infinity, Infinity and
// NaN are null. Never throws. Fails with
//   kNotFound            no file at `path`
//   kFailedPrecondition  not a regular file, larger than `max_bytes`, not valid
//                        UTF-8 JSON, nested deeper than 32, a duplicate key, or
//                        no object; the message names the path
absl::StatusOr<nlohmann::json> ReadHubConfig(
    const std::string& path, size_t max_bytes = kMaxHubConfigBytes);

// The same file as text, after the same checks: for …Config::FromJsonText.
absl::StatusOr<std::string> ReadHubConfigText(
    const std::string& path, size_t max_bytes = kMaxHubConfigBytes);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_HUB_CONFIG_FILE_H_
