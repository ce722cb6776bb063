#include "engine/weights/hub_config_file.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"

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
    if (depth >= kMaxDepth) {
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
    json parsed = json::parse(JsonFromPython(text), std::ref(watcher));
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

absl::StatusOr<std::string> ReadBounded(const std::string& path,
                                        size_t max_bytes) {
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
  // Reads until past the bound, whatever size the file had when opened.
  std::string text;
  std::vector<char> buffer(size_t{1} << 16);
  while (file && text.size() <= max_bytes) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (text.size() > max_bytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is larger than the ", max_bytes, " bytes allowed"));
  }
  if (!file.eof()) {
    return absl::FailedPreconditionError(absl::StrCat("cannot read ", path));
  }
  return text;
}

}  // namespace

absl::StatusOr<json> ReadHubConfig(const std::string& path, size_t max_bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string text, ReadBounded(path, max_bytes));
  absl::StatusOr<json> parsed = ParseObject(text);
  if (!parsed.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " ", parsed.status().message()));
  }
  return parsed;
}

absl::StatusOr<std::string> ReadHubConfigText(const std::string& path,
                                              size_t max_bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const json parsed, ReadHubConfig(path, max_bytes));
  return parsed.dump();
}

}  // namespace ovdiff::engine
