#include "tests/client/indexed_png.h"

#include <png.h>

#include <cstdint>
#include <vector>

namespace ovdiff::client {

int ColourOf(int label) { return (label * 0x3b5f17 + 0x104060) & 0xffffff; }

std::string IndexedPng(const cv::Mat& labels) {
  cv::Mat bytes;
  labels.convertTo(bytes, CV_8UC1);
  std::vector<uint8_t> palette(256 * 3);
  for (int i = 0; i < 256; ++i) {
    const int colour = ColourOf(i);
    palette[3 * i] = static_cast<uint8_t>(colour >> 16);
    palette[3 * i + 1] = static_cast<uint8_t>(colour >> 8);
    palette[3 * i + 2] = static_cast<uint8_t>(colour);
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(bytes.cols);
  image.height = static_cast<png_uint_32>(bytes.rows);
  image.format = PNG_FORMAT_RGB_COLORMAP;
  image.colormap_entries = 256;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image) + 4096;
  std::string png(size, '\0');
  png_image_write_to_memory(&image, png.data(), &size, 0, bytes.data, 0,
                            palette.data());
  png.resize(size);
  return png;
}

}  // namespace ovdiff::client
