#include "server/label_map_codec.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "png.h"
#include "server/palette.h"

namespace ovdiff::server {
namespace {

constexpr int kPaletteSize = 256;

const std::array<png_byte, 3 * kPaletteSize>& Palette() {
  static const auto palette = [] {
    std::array<png_byte, 3 * kPaletteSize> bytes;
    for (int label = 0; label < kPaletteSize; ++label) {
      const uint32_t colour = LabelColour(static_cast<uint16_t>(label));
      bytes[3 * label] = static_cast<png_byte>(colour >> 16);
      bytes[3 * label + 1] = static_cast<png_byte>(colour >> 8);
      bytes[3 * label + 2] = static_cast<png_byte>(colour);
    }
    return bytes;
  }();
  return palette;
}

// OpenCV writes no palettes; libpng's simplified interface does, and reports
// errors without longjmp.
absl::StatusOr<std::string> EncodeIndexed(const LabelMap& labels) {
  std::vector<png_byte> indices(labels.data.begin(), labels.data.end());
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(labels.width);
  image.height = static_cast<png_uint_32>(labels.height);
  image.format = PNG_FORMAT_RGB_COLORMAP;
  image.colormap_entries = kPaletteSize;
  // Label maps are flat: speed costs them little size.
  image.flags = PNG_IMAGE_FLAG_FAST;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string out(size, '\0');
  const int ok =
      png_image_write_to_memory(&image, out.data(), &size, /*convert=*/0,
                                indices.data(), labels.width, Palette().data());
  if (ok == 0) {
    return absl::InternalError(
        absl::StrCat("cannot write a label map as PNG: ", image.message));
  }
  out.resize(size);
  out.shrink_to_fit();
  return out;
}

absl::StatusOr<std::string> EncodeGrey16(const LabelMap& labels) {
  // imencode() does not write to its input.
  const cv::Mat view(labels.height, labels.width, CV_16UC1,
                     const_cast<uint16_t*>(labels.data.data()));
  std::vector<uint8_t> out;
  try {
    if (cv::imencode(".png", view, out, {cv::IMWRITE_PNG_COMPRESSION, 2})) {
      return std::string(out.begin(), out.end());
    }
  } catch (const cv::Exception& error) {
    return absl::InternalError(
        absl::StrCat("cannot write a label map as PNG: ", error.what()));
  }
  return absl::InternalError("cannot write a label map as PNG");
}

}  // namespace

absl::StatusOr<std::string> EncodeLabelMapPng(const LabelMap& labels) {
  const bool fits_in_bytes =
      std::all_of(labels.data.begin(), labels.data.end(),
                  [](uint16_t label) { return label < kPaletteSize; });
  return fits_in_bytes ? EncodeIndexed(labels) : EncodeGrey16(labels);
}

std::string EncodeLabelMapRaw(const LabelMap& labels) {
  std::string out;
  out.reserve(2 * labels.data.size());
  for (const uint16_t label : labels.data) {
    out += static_cast<char>(label & 0xFF);
    out += static_cast<char>(label >> 8);
  }
  return out;
}

}  // namespace ovdiff::server
