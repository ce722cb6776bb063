#include "server/image_codec.h"

#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "opencv2/core.hpp"
#include "opencv2/core/utils/logger.hpp"
#include "opencv2/imgcodecs.hpp"
#include "opencv2/imgproc.hpp"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/image_header.h"

namespace ovdiff::server {
namespace {

absl::Status ImageError(absl::string_view message) {
  return FieldError("image", message, reasons::kInvalidImage);
}

void SetUpOpenCv() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Callers' bad files are callers' errors, not lines on our stderr; and the
    // executor's threads are parallel enough.
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    cv::setNumThreads(1);
  });
}

// 8-bit grey, BGR or BGRA to RGB; alpha laid on white.
absl::StatusOr<cv::Mat> ToRgb(const cv::Mat& decoded) {
  cv::Mat rgb;
  switch (decoded.channels()) {
    case 1:
      cv::cvtColor(decoded, rgb, cv::COLOR_GRAY2RGB);
      return rgb;
    case 3:
      cv::cvtColor(decoded, rgb, cv::COLOR_BGR2RGB);
      return rgb;
    case 4:
      break;
    default:
      return ImageError(absl::StrCat("the picture has ", decoded.channels(),
                                     " channels; 1, 3 and 4 are understood"));
  }
  rgb.create(decoded.size(), CV_8UC3);
  for (int y = 0; y < decoded.rows; ++y) {
    const uint8_t* in = decoded.ptr<uint8_t>(y);
    uint8_t* out = rgb.ptr<uint8_t>(y);
    for (int x = 0; x < decoded.cols; ++x, in += 4, out += 3) {
      const int alpha = in[3];
      for (int c = 0; c < 3; ++c) {
        const int sum = in[2 - c] * alpha + 255 * (255 - alpha);
        out[c] = static_cast<uint8_t>((sum + 127) / 255);
      }
    }
  }
  return rgb;
}

// EXIF orientations: bit by bit, transposed (5…8), then flipped.
cv::Mat Upright(const cv::Mat& image, int orientation) {
  cv::Mat turned;
  if (orientation >= 5) {
    cv::transpose(image, turned);
  } else {
    turned = image;
  }
  // Flip codes: 1 left-right, 0 top-bottom, -1 both.
  constexpr int kNone = 2;
  constexpr int kFlips[9] = {kNone, kNone, 1, -1, 0, kNone, 1, -1, 0};
  if (kFlips[orientation] != kNone) {
    cv::Mat flipped;
    cv::flip(turned, flipped, kFlips[orientation]);
    return flipped;
  }
  return turned;
}

absl::StatusOr<cv::Mat> ToEightBits(const cv::Mat& decoded) {
  if (decoded.depth() == CV_8U) {
    return decoded;
  }
  if (decoded.depth() != CV_16U) {
    return ImageError(
        "the picture's values are neither 8-bit nor 16-bit integers");
  }
  cv::Mat out;
  decoded.convertTo(out, CV_8U, 1.0 / 257.0);  // 65535 / 257 = 255
  return out;
}

// As it should be seen. OpenCV turns TIFFs itself; all else comes as stored.
absl::StatusOr<cv::Mat> Turn(const cv::Mat& decoded,
                             const ImageHeader& header) {
  const bool is_turned = header.format == ImageFormat::kTiff;
  const bool swaps = is_turned && header.orientation >= 5;
  const int64_t width = swaps ? header.height : header.width;
  const int64_t height = swaps ? header.width : header.height;
  if (decoded.cols != width || decoded.rows != height) {
    return ImageError(absl::StrCat(
        "the ", FormatName(header.format), " file says ", width, "x", height,
        " pixels and holds ", decoded.cols, "x", decoded.rows));
  }
  return is_turned ? decoded : Upright(decoded, header.orientation);
}

// Upright, with the file's own channels and depth. Throws cv::Exception.
absl::StatusOr<cv::Mat> DecodeFile(absl::string_view bytes,
                                   const ImageHeader& header) {
  // imdecode() does not write to its input.
  const cv::Mat view(1, static_cast<int>(bytes.size()), CV_8UC1,
                     const_cast<char*>(bytes.data()));
  const cv::Mat decoded = cv::imdecode(view, cv::IMREAD_UNCHANGED);
  if (decoded.empty()) {
    return ImageError(absl::StrCat("the ", FormatName(header.format),
                                   " file is truncated, damaged or of a kind "
                                   "that is not understood"));
  }
  return Turn(decoded, header);
}

// Throws cv::Exception.
absl::StatusOr<Image> DecodeRgb(absl::string_view bytes,
                                const ImageHeader& header) {
  OVDIFF_ASSIGN_OR_RETURN(const cv::Mat decoded, DecodeFile(bytes, header));
  OVDIFF_ASSIGN_OR_RETURN(const cv::Mat eight_bits, ToEightBits(decoded));
  OVDIFF_ASSIGN_OR_RETURN(cv::Mat rgb, ToRgb(eight_bits));
  if (!rgb.isContinuous()) {
    rgb = rgb.clone();
  }
  Image image{.width = rgb.cols, .height = rgb.rows, .data = {}};
  image.data.assign(rgb.datastart, rgb.dataend);
  return image;
}

// Throws cv::Exception.
absl::StatusOr<Mask> DecodeOneChannel(absl::string_view bytes,
                                      const ImageHeader& header) {
  OVDIFF_ASSIGN_OR_RETURN(const cv::Mat decoded, DecodeFile(bytes, header));
  if (decoded.depth() != CV_8U && decoded.depth() != CV_16U) {
    return ImageError("its values are neither 8-bit nor 16-bit integers");
  }
  std::vector<cv::Mat> channels;
  cv::split(decoded, channels);
  const double opaque = decoded.depth() == CV_8U ? 255 : 65535;
  const bool has_alpha = channels.size() == 4 || channels.size() == 2;
  for (size_t i = 1; i < channels.size(); ++i) {
    const bool is_alpha = has_alpha && i + 1 == channels.size();
    if (is_alpha ? cv::countNonZero(channels[i] != opaque) > 0
                 : cv::countNonZero(channels[i] != channels[0]) > 0) {
      return ImageError(absl::StrCat(
          is_alpha ? "it has transparent pixels" : "it has colours",
          "; send one channel, 0 where the object is not"));
    }
  }
  const cv::Mat object = channels[0] != 0;  // 0 or 255
  Mask mask{.width = object.cols, .height = object.rows, .data = {}};
  mask.data.assign(object.datastart, object.dataend);
  for (uint8_t& value : mask.data) {
    value = value != 0;
  }
  return mask;
}

// decode(bytes, header) without its exceptions.
template <typename Decode>
auto Guarded(Decode decode, absl::string_view bytes, const ImageHeader& header)
    -> decltype(decode(bytes, header)) {
  SetUpOpenCv();
  try {
    return decode(bytes, header);
  } catch (const cv::Exception& error) {
    return ImageError(absl::StrCat("the ", FormatName(header.format),
                                   " file cannot be decoded: ", error.err));
  }
}

absl::StatusOr<ImageHeader> CheckedHeader(absl::string_view bytes,
                                          const Limits& limits) {
  if (bytes.empty()) {
    return ImageError("the picture is empty (0 bytes)");
  }
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes);
  if (!header.ok()) {
    return WithField(header.status(), "image", reasons::kInvalidImage);
  }
  OVDIFF_RETURN_IF_ERROR(CheckImageSize(header->width, header->height, limits));
  return header;
}

// The PNG of make(), which may throw cv::Exception.
template <typename Make>
absl::StatusOr<std::string> WritePng(Make make) {
  SetUpOpenCv();
  try {
    std::vector<uint8_t> out;
    if (cv::imencode(".png", cv::Mat(make()), out)) {
      return std::string(out.begin(), out.end());
    }
  } catch (const cv::Exception& error) {
    return absl::InternalError(
        absl::StrCat("cannot write a picture as PNG: ", error.what()));
  }
  return absl::InternalError("cannot write a picture as PNG");
}

}  // namespace

absl::Status CheckImageSize(int64_t width, int64_t height,
                            const Limits& limits) {
  if (width <= 0 || height <= 0) {
    return ImageError(absl::StrCat("the picture is ", width, "x", height,
                                   " pixels; both sides must be at least 1"));
  }
  if (width > limits.max_image_side || height > limits.max_image_side ||
      width * height > limits.max_image_pixels) {
    return FieldError(
        "image",
        absl::StrCat("the picture is ", width, "x", height,
                     " pixels; a side may have ", limits.max_image_side,
                     " and the whole ", limits.max_image_pixels),
        reasons::kImageTooLarge);
  }
  return absl::OkStatus();
}

absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const Limits& limits) {
  OVDIFF_ASSIGN_OR_RETURN(const ImageHeader header,
                          CheckedHeader(bytes, limits));
  return Guarded(DecodeRgb, bytes, header);
}

absl::StatusOr<Mask> DecodeMask(absl::string_view bytes, const Limits& limits) {
  OVDIFF_ASSIGN_OR_RETURN(const ImageHeader header,
                          CheckedHeader(bytes, limits));
  if (header.format == ImageFormat::kJpeg) {
    return ImageError(
        "it is a JPEG, whose compression leaves values above 0 beside the "
        "object; send a lossless file, such as PNG");
  }
  return Guarded(DecodeOneChannel, bytes, header);
}

absl::StatusOr<std::string> EncodePng(const Image& image) {
  return WritePng([&image] {
    const cv::Mat rgb(image.height, image.width, CV_8UC3,
                      const_cast<uint8_t*>(image.data.data()));
    cv::Mat bgr;
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    return bgr;
  });
}

absl::StatusOr<std::string> EncodeMaskPng(const Mask& mask) {
  return WritePng([&mask] {
    const cv::Mat ones(mask.height, mask.width, CV_8UC1,
                       const_cast<uint8_t*>(mask.data.data()));
    return cv::Mat(ones * 255);
  });
}

}  // namespace ovdiff::server
