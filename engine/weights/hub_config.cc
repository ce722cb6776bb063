#include "engine/weights/hub_config.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

namespace ovdiff::engine {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;

// Thrown by the parse callback to stop early; caught in ParseObject, below.
struct Refused {
  std::string reason;
};

// Sees keys as they are parsed: nlohmann keeps the last of two equal keys in
// silence, which would hide a damaged or hostile file.
class KeyWatcher {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > kMaxDepth) {
      throw Refused{absl::StrCat("is nested deeper than ", kMaxDepth)};
    }
    switch (event) {
      case json::parse_event_t::object_start:
        open_objects_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        open_objects_.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!open_objects_.back().insert(key).second) {
          throw Refused{absl::StrCat("has the key '", key, "' twice")};
        }
        break;
      }
      default:
        break;
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> open_objects_;
};

absl::StatusOr<json> ParseObject(const std::string& text) {
  KeyWatcher watcher;
  try {
    json parsed = json::parse(text, std::ref(watcher));
    if (!parsed.is_object()) {
      return absl::FailedPreconditionError("does not hold a JSON object");
    }
    return parsed;
  } catch (const Refused& refused) {
    return absl::FailedPreconditionError(refused.reason);
  } catch (const json::exception& error) {
    return absl::FailedPreconditionError(
        absl::StrCat("is not valid UTF-8 JSON: ", error.what()));
  }
}

absl::Status WrongType(absl::string_view key, const json& value,
                       absl::string_view type) {
  return UnsupportedConfigValue(key, value, type);
}

// The value of a key, or null where it is absent or null.
const json* Find(const json& config, absl::string_view key) {
  const auto found = config.find(std::string(key));
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

absl::StatusOr<json> ReadHubConfig(const std::string& path, size_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(absl::StrCat("no file ", path));
  }
  if (!std::filesystem::is_regular_file(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a regular file"));
  }
  std::ifstream file(path, std::ios::binary);
  // One byte beyond the bound tells a file that is too large, whatever its
  // size was when it was opened.
  std::string text;
  std::vector<char> buffer(size_t{1} << 16);
  while (file && text.size() <= max_bytes) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= max_bytes) {
    return absl::FailedPreconditionError(absl::StrCat("cannot read ", path));
  }
  if (text.size() > max_bytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is larger than the ", max_bytes, " bytes allowed"));
  }
  absl::StatusOr<json> parsed = ParseObject(text);
  if (!parsed.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " ", parsed.status().message()));
  }
  return parsed;
}

absl::Status GetConfigValue(const json& config, absl::string_view key,
                            int64_t* value) {
  const json* found = Find(config, key);
  if (found == nullptr) {
    return absl::OkStatus();
  }
  if (found->is_number_unsigned() &&
      found->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return WrongType(key, *found, "a 64-bit integer");
  }
  if (found->is_number_integer()) {
    *value = found->get<int64_t>();
    return absl::OkStatus();
  }
  // Some writers put 4.0 for 4 (mlp_ratio and the like).
  if (found->is_number_float() && std::abs(found->get<double>()) < 1e15 &&
      std::floor(found->get<double>()) == found->get<double>()) {
    *value = static_cast<int64_t>(found->get<double>());
    return absl::OkStatus();
  }
  return WrongType(key, *found, "an integer");
}

absl::Status GetConfigValue(const json& config, absl::string_view key,
                            double* value) {
  const json* found = Find(config, key);
  if (found == nullptr) {
    return absl::OkStatus();
  }
  if (!found->is_number()) {
    return WrongType(key, *found, "a number");
  }
  *value = found->get<double>();
  return absl::OkStatus();
}

absl::Status GetConfigValue(const json& config, absl::string_view key,
                            bool* value) {
  const json* found = Find(config, key);
  if (found == nullptr) {
    return absl::OkStatus();
  }
  if (!found->is_boolean()) {
    return WrongType(key, *found, "true or false");
  }
  *value = found->get<bool>();
  return absl::OkStatus();
}

absl::Status GetConfigValue(const json& config, absl::string_view key,
                            std::string* value) {
  const json* found = Find(config, key);
  if (found == nullptr) {
    return absl::OkStatus();
  }
  if (!found->is_string()) {
    return WrongType(key, *found, "a string");
  }
  *value = found->get<std::string>();
  return absl::OkStatus();
}

absl::Status CheckConfigRange(absl::string_view key, int64_t value,
                              int64_t minimum, int64_t maximum) {
  if (value < minimum || value > maximum) {
    return UnsupportedConfigValue(key, value,
                                  absl::StrCat(minimum, " to ", maximum));
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::engine
