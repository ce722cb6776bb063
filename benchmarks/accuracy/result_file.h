// ResultFile: what one variant with one seed made of each picture, line by
// line, so that a run that was stopped goes on where it was.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_RESULT_FILE_H_
#define OVDIFF_BENCHMARKS_ACCURACY_RESULT_FILE_H_

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/accuracy/confusion.h"
#include "nlohmann/json.hpp"

namespace ovdiff::accuracy {

struct PictureResult {
  std::string id;
  std::string digest;  // Of the picture's and its labels' files.
  std::vector<Confusion> confusions;
  std::vector<uint16_t> kept;  // Labels that passed the prefilter.
  double seconds = 0;          // Of the Segment call, waiting included.
};

// JSON lines: the header, then one object per picture in any order
//   {"id", "digest", "confusion": [truth, predicted, pixels, …], "kept",
//   "seconds"}
// Thread-compatible.
class ResultFile {
 public:
  // Opens `path` to append if its first line is `header`; else begins it anew.
  // A last line that was cut short is dropped. kUnavailable.
  static absl::StatusOr<std::unique_ptr<ResultFile>> Open(
      const std::string& path, const nlohmann::json& header);

  // Whether picture `id` is there, made from files of this digest.
  bool Has(const std::string& id, const std::string& digest) const;

  // Written through to the file. kUnavailable.
  absl::Status Add(const PictureResult& result);

 private:
  explicit ResultFile(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::ofstream file_;
  std::map<std::string, std::string> digests_;  // By id.
};

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_RESULT_FILE_H_
