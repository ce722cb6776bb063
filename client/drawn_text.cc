#include "client/drawn_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_format.h"
#include "opencv2/imgproc.hpp"
#include "utf8proc.h"

namespace ovdiff::client {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_DUPLEX;
// Capitals of the font at scale 1, pixels.
constexpr double kFontCapHeight = 21.0;
// Drawn this much larger and averaged down: OpenCV's own line antialiasing is
// ragged at the sizes a legend needs.
constexpr int kSupersampling = 4;

double Scale(int cap_height) {
  return kSupersampling * cap_height / kFontCapHeight;
}

int Thickness(int cap_height) {
  return std::max(
      1, static_cast<int>(std::lround(kSupersampling * cap_height / 9.0)));
}

}  // namespace

std::string AsciiWithEscapes(absl::string_view utf8) {
  std::string ascii;
  while (!utf8.empty()) {
    utf8proc_int32_t code = -1;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()),
                         static_cast<utf8proc_ssize_t>(utf8.size()), &code);
    if (length < 1 || code < 0x20 || code == 0x7f) {
      absl::StrAppendFormat(&ascii, "\\x%02x", static_cast<uint8_t>(utf8[0]));
      utf8.remove_prefix(1);
      continue;
    }
    if (code < 0x7f) {
      ascii += static_cast<char>(code);
    } else if (code <= 0xffff) {
      absl::StrAppendFormat(&ascii, "\\u%04x", code);
    } else {
      absl::StrAppendFormat(&ascii, "\\U%08x", code);
    }
    utf8.remove_prefix(static_cast<size_t>(length));
  }
  return ascii;
}

int TextWidth(const std::string& ascii, int cap_height) {
  const cv::Size size = cv::getTextSize(ascii, kFont, Scale(cap_height),
                                        Thickness(cap_height), nullptr);
  return (size.width + kSupersampling - 1) / kSupersampling;
}

std::string FitText(const std::string& ascii, int cap_height, int max_width) {
  if (TextWidth(ascii, cap_height) <= max_width) {
    return ascii;
  }
  size_t kept = ascii.size();
  while (kept > 0 &&
         TextWidth(ascii.substr(0, kept) + "..", cap_height) > max_width) {
    --kept;
  }
  return ascii.substr(0, kept) + "..";
}

void DrawText(const std::string& ascii, cv::Point origin, int cap_height,
              const cv::Scalar& bgr, cv::Mat& picture) {
  const int margin = cap_height;
  const cv::Rect wanted(origin.x - margin, origin.y - 2 * cap_height,
                        TextWidth(ascii, cap_height) + 2 * margin,
                        3 * cap_height);
  const cv::Rect visible = wanted & cv::Rect({0, 0}, picture.size());
  if (ascii.empty() || visible.empty()) {
    return;
  }
  cv::Mat large = cv::Mat::zeros(wanted.size() * kSupersampling, CV_8UC1);
  cv::putText(large, ascii, (origin - wanted.tl()) * kSupersampling, kFont,
              Scale(cap_height), cv::Scalar(255), Thickness(cap_height),
              cv::LINE_AA);
  cv::Mat coverage;
  cv::resize(large, coverage, wanted.size(), 0, 0, cv::INTER_AREA);
  for (int y = visible.y; y < visible.br().y; ++y) {
    for (int x = visible.x; x < visible.br().x; ++x) {
      const int alpha = coverage.at<uint8_t>(y - wanted.y, x - wanted.x);
      cv::Vec3b& pixel = picture.at<cv::Vec3b>(y, x);
      for (int channel = 0; channel < 3; ++channel) {
        pixel[channel] = cv::saturate_cast<uint8_t>(
            (pixel[channel] * (255 - alpha) + bgr[channel] * alpha) / 255.0);
      }
    }
  }
}

}  // namespace ovdiff::client
