#include "benchmarks/accuracy/picture_files.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "server/image_codec.h"

namespace ovdiff::accuracy {
namespace {

absl::StatusOr<cv::Mat> DecodeGrey(absl::string_view bytes) {
  const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1,
                       const_cast<char*>(bytes.data()));
  cv::Mat grey;
  if (!bytes.empty() &&
      bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max())) {
    grey = cv::imdecode(buffer, cv::IMREAD_UNCHANGED);
  }
  if (grey.empty() || grey.type() != CV_8UC1) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an 8-bit grey picture without palette (",
                     grey.empty() ? 0 : grey.channels(), " channels)"));
  }
  return grey;
}

std::vector<uint8_t> Values(const cv::Mat& grey) {
  std::vector<uint8_t> values;
  for (int y = 0; y < grey.rows; ++y) {
    const uint8_t* row = grey.ptr<uint8_t>(y);
    values.insert(values.end(), row, row + grey.cols);
  }
  return values;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot open ", path));
  }
  std::string bytes((std::istreambuf_iterator<char>(file)),
                    std::istreambuf_iterator<char>());
  if (file.bad()) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path));
  }
  return bytes;
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<Image> DecodePicture(absl::string_view bytes) {
  return server::DecodeImage(bytes, server::Limits());
}

absl::StatusOr<TrueLabels> DecodeLabels(absl::string_view bytes) {
  OVDIFF_ASSIGN_OR_RETURN(const cv::Mat grey, DecodeGrey(bytes));
  return TrueLabels{grey.cols, grey.rows, Values(grey)};
}

absl::StatusOr<std::string> EncodeAttribution(const AttributionMap& map) {
  cv::Mat values(map.height, map.width, CV_32FC1);
  std::copy(map.data.begin(), map.data.end(), values.begin<float>());
  std::vector<uint8_t> tiff;
  if (!cv::imencode(".tiff", values, tiff)) {
    return absl::InternalError("the TIFF encoder failed");
  }
  return std::string(tiff.begin(), tiff.end());
}

}  // namespace ovdiff::accuracy
