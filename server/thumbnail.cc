#include "server/thumbnail.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "opencv2/imgproc.hpp"

namespace ovdiff::server {

Image Thumbnail(const Image& image, int max_side) {
  const int longer = std::max(image.width, image.height);
  if (longer <= max_side) {
    return image;
  }
  const double scale = static_cast<double>(max_side) / longer;
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::lround(side * scale)));
  };
  Image small{
      .width = scaled(image.width), .height = scaled(image.height), .data = {}};
  small.data.resize(size_t{3} * small.width * small.height);
  const cv::Mat from(image.height, image.width, CV_8UC3,
                     const_cast<uint8_t*>(image.data.data()));
  cv::Mat to(small.height, small.width, CV_8UC3, small.data.data());
  cv::resize(from, to, to.size(), 0, 0, cv::INTER_AREA);
  return small;
}

absl::StatusOr<std::string> EncodeMaskPng(const std::vector<uint8_t>& mask,
                                          int side, int width, int height) {
  try {
    const cv::Mat cells(side, side, CV_8UC1, const_cast<uint8_t*>(mask.data()));
    cv::Mat pixels = cells != 0;  // 255 inside
    cv::resize(
        pixels, pixels, {width, height}, 0, 0,
        side > std::min(width, height) ? cv::INTER_AREA : cv::INTER_NEAREST);
    std::vector<uint8_t> png;
    if (cv::imencode(".png", pixels >= 128, png)) {
      return std::string(png.begin(), png.end());
    }
  } catch (const cv::Exception& error) {
    return absl::InternalError(
        absl::StrCat("cannot write a mask as PNG: ", error.what()));
  }
  return absl::InternalError("cannot write a mask as PNG");
}

}  // namespace ovdiff::server
