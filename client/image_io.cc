#include "client/image_io.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/label_png.h"
#include "opencv2/imgcodecs.hpp"
#include "opencv2/imgproc.hpp"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

// [1, n] bytes without a copy; OpenCV reads them only.
cv::Mat AsRow(absl::string_view bytes) {
  return cv::Mat(1, static_cast<int>(bytes.size()), CV_8UC1,
                 const_cast<char*>(bytes.data()));
}

cv::Mat OnWhite(const cv::Mat& bgra) {
  cv::Mat result(bgra.size(), CV_8UC3);
  bgra.forEach<cv::Vec4b>([&](const cv::Vec4b& pixel, const int* position) {
    cv::Vec3b& out = result.at<cv::Vec3b>(position[0], position[1]);
    for (int channel = 0; channel < 3; ++channel) {
      out[channel] = static_cast<uint8_t>(
          (pixel[channel] * pixel[3] + 255 * (255 - pixel[3]) + 127) / 255);
    }
  });
  return result;
}

}  // namespace

absl::StatusOr<std::string> ReadFileBytes(const std::string& path,
                                          int64_t max_bytes) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return absl::NotFoundError(absl::StrCat("there is no file ", path));
  }
  if (!fs::is_regular_file(status)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a regular file"));
  }
  const uintmax_t size = fs::file_size(path, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
  }
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  }
  if (size > static_cast<uintmax_t>(max_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes; at most ", max_bytes,
                     " can be sent. Shrink the picture or encode it as JPEG"));
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::PermissionDeniedError(absl::StrCat("cannot read ", path));
  }
  return bytes;
}

absl::Status WriteFileBytes(const std::string& path, absl::string_view bytes) {
  const std::string partial = path + ".part";
  std::error_code error;
  {
    std::ofstream file(partial, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) {
      fs::remove(partial, error);
      return absl::UnavailableError(
          absl::StrCat("cannot write ", path,
                       "; is the folder there, writable and not full?"));
    }
  }
  fs::rename(partial, path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot write ", path, ": ", error.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<cv::Mat> DecodePicture(absl::string_view encoded) {
  if (encoded.empty() || encoded.size() > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError("not a picture: no bytes, or too many");
  }
  cv::Mat plain;
  cv::Mat unchanged;
  try {
    // Only IMREAD_COLOR turns by EXIF, only IMREAD_UNCHANGED keeps alpha.
    plain = cv::imdecode(AsRow(encoded), cv::IMREAD_COLOR);
    unchanged = cv::imdecode(AsRow(encoded), cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& exception) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot decode the picture: ", exception.err));
  }
  if (plain.empty()) {
    return absl::InvalidArgumentError(
        "cannot decode the picture; JPEG, PNG, WebP, BMP, TIFF and PNM are "
        "known");
  }
  if (unchanged.type() == CV_8UC4 && unchanged.size() == plain.size()) {
    return OnWhite(unchanged);
  }
  return plain;
}

absl::StatusOr<std::string> EncodePng(const cv::Mat& picture) {
  std::vector<uint8_t> bytes;
  try {
    if (!cv::imencode(".png", picture, bytes)) {
      return absl::InternalError("the PNG encoder failed");
    }
  } catch (const cv::Exception& exception) {
    return absl::InternalError(
        absl::StrCat("the PNG encoder failed: ", exception.err));
  }
  return std::string(bytes.begin(), bytes.end());
}

absl::StatusOr<cv::Mat> DecodeLabelPng(absl::string_view png) {
  absl::StatusOr<LabelPng> labels = ReadLabelPng(png);
  if (!labels.ok()) {
    return labels.status();
  }
  return cv::Mat(labels->height, labels->width, CV_16UC1, labels->labels.data())
      .clone();
}

absl::StatusOr<cv::Mat> DecodeLabelMap(const v1::LabelMap& label_map) {
  const int width = label_map.width();
  const int height = label_map.height();
  if (width < 1 || height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a label map of ", width, "x", height, " pixels"));
  }
  cv::Mat labels;
  if (label_map.format() == v1::LABEL_MAP_FORMAT_RAW_U16) {
    const std::string& data = label_map.data();
    if (data.size() != 2 * static_cast<size_t>(width) * height) {
      return absl::InvalidArgumentError(
          absl::StrCat("a raw label map of ", width, "x", height,
                       " pixels has ", data.size(), " bytes, not 2 a pixel"));
    }
    labels.create(height, width, CV_16UC1);
    for (size_t i = 0; i < data.size() / 2; ++i) {
      labels.ptr<uint16_t>()[i] =
          static_cast<uint16_t>(static_cast<uint8_t>(data[2 * i]) |
                                static_cast<uint8_t>(data[2 * i + 1]) << 8);
    }
    return labels;
  }
  absl::StatusOr<cv::Mat> decoded = DecodeLabelPng(label_map.data());
  if (decoded.ok() && decoded->size() != cv::Size(width, height)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the label PNG has ", decoded->cols, "x", decoded->rows,
                     " pixels, its message says ", width, "x", height));
  }
  return decoded;
}

}  // namespace ovdiff::client
