#include "benchmarks/accuracy/result_file.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ovdiff::accuracy {

using nlohmann::json;

absl::StatusOr<std::unique_ptr<ResultFile>> ResultFile::Open(
    const std::string& path, const json& header) {
  std::unique_ptr<ResultFile> result(new ResultFile(path));
  std::string whole_lines;
  std::ifstream old(path);
  std::string line;
  // The last line counts only with its end: getline() then stops before eof.
  if (std::getline(old, line) && !old.eof() && line == header.dump()) {
    whole_lines = line + "\n";
    while (std::getline(old, line) && !old.eof()) {
      const json object =
          json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!object.is_object() || !object.contains("id") ||
          !object.contains("digest")) {
        break;
      }
      result->digests_[object["id"].get<std::string>()] =
          object["digest"].get<std::string>();
      whole_lines += line + "\n";
    }
  } else {
    whole_lines = header.dump() + "\n";
  }
  old.close();
  result->file_.open(path, std::ios::binary | std::ios::trunc);
  result->file_ << whole_lines << std::flush;
  if (!result->file_) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return result;
}

bool ResultFile::Has(const std::string& id, const std::string& digest) const {
  const auto found = digests_.find(id);
  return found != digests_.end() && found->second == digest;
}

absl::Status ResultFile::Add(const PictureResult& result) {
  json confusion = json::array();
  for (const Confusion& item : result.confusions) {
    confusion.push_back(item.truth);
    confusion.push_back(item.predicted);
    confusion.push_back(item.pixels);
  }
  const json line = {{"id", result.id},
                     {"digest", result.digest},
                     {"confusion", confusion},
                     {"kept", result.kept},
                     {"seconds", result.seconds}};
  file_ << line.dump() + "\n" << std::flush;
  if (!file_) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path_));
  }
  digests_[result.id] = result.digest;
  return absl::OkStatus();
}

}  // namespace ovdiff::accuracy
