#include "server/picture_resize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "opencv2/core.hpp"
#include "opencv2/imgproc.hpp"

namespace ovdiff::server {
namespace {

// One axis after the other: OpenCV averages areas only where both shrink.
cv::Mat ResizeMat(const cv::Mat& in, int width, int height) {
  cv::Mat wide;
  cv::resize(in, wide, {width, in.rows}, 0, 0,
             width < in.cols ? cv::INTER_AREA : cv::INTER_LINEAR);
  cv::Mat out;
  cv::resize(wide, out, {width, height}, 0, 0,
             height < in.rows ? cv::INTER_AREA : cv::INTER_LINEAR);
  return out;
}

// `mask` is of the size `from`.
std::vector<uint8_t> ResizeMask(const std::vector<uint8_t>& mask, cv::Size from,
                                int width, int height) {
  const cv::Mat ones(from, CV_8UC1, const_cast<uint8_t*>(mask.data()));
  cv::Mat share;
  ones.convertTo(share, CV_32F);
  share = ResizeMat(share, width, height);
  double largest = 0;
  cv::minMaxLoc(share, nullptr, &largest);
  // Sums of float32 shares are half only nearly.
  constexpr double kHalf = 0.5 - 1e-4;
  const cv::Mat object = largest >= kHalf ? share >= kHalf : share > 0;
  std::vector<uint8_t> resized(object.datastart, object.dataend);
  for (uint8_t& value : resized) {
    value = value != 0;
  }
  return resized;
}

absl::Status ResizeError(const cv::Exception& error, int width, int height) {
  return absl::Status(error.code == cv::Error::StsNoMem
                          ? absl::StatusCode::kResourceExhausted
                          : absl::StatusCode::kInternal,
                      absl::StrCat("cannot resize a picture of ", width, "x",
                                   height, " pixels: ", error.err));
}

absl::StatusOr<SupportPicture> Resize(const SupportPicture& picture, int width,
                                      int height) {
  SupportPicture out;
  if (picture.image.width == width && picture.image.height == height) {
    out.image = picture.image;
    out.mask = picture.mask;
    return out;
  }
  try {
    const cv::Mat in(picture.image.height, picture.image.width, CV_8UC3,
                     const_cast<uint8_t*>(picture.image.data.data()));
    const cv::Mat resized = ResizeMat(in, width, height);
    out.image = {.width = width, .height = height, .data = {}};
    out.image.data.assign(resized.datastart, resized.dataend);
    if (!picture.mask.empty()) {
      out.mask = ResizeMask(picture.mask, in.size(), width, height);
    }
  } catch (const cv::Exception& error) {
    return ResizeError(error, picture.image.width, picture.image.height);
  }
  return out;
}

}  // namespace

absl::StatusOr<SupportPicture> SquashPicture(const SupportPicture& picture,
                                             int side) {
  return Resize(picture, side, side);
}

absl::StatusOr<SupportPicture> ShrinkPicture(const SupportPicture& picture,
                                             int max_side) {
  const int longest = std::max(picture.image.width, picture.image.height);
  const double scale = std::min(1.0, static_cast<double>(max_side) / longest);
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::lround(side * scale)));
  };
  return Resize(picture, scaled(picture.image.width),
                scaled(picture.image.height));
}

absl::StatusOr<Mask> StretchMask(const Mask& mask, int width, int height) {
  try {
    return Mask{
        width, height,
        ResizeMask(mask.data, {mask.width, mask.height}, width, height)};
  } catch (const cv::Exception& error) {
    return ResizeError(error, mask.width, mask.height);
  }
}

}  // namespace ovdiff::server
