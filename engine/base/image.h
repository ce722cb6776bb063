// Image and LabelMap: the plain pictures that cross folders. No codec here.
#ifndef OVDIFF_ENGINE_BASE_IMAGE_H_
#define OVDIFF_ENGINE_BASE_IMAGE_H_

#include <cstdint>
#include <vector>

namespace ovdiff {

// Colour picture, 8 bits a channel, RGB order, rows top to bottom, interleaved:
// pixel (x, y) channel c is data[(y * width + x) * 3 + c].
struct Image {
  int width = 0;   // pixels
  int height = 0;  // pixels
  std::vector<uint8_t> data;

  bool empty() const { return data.empty(); }
};

// One label per pixel, row-major. 0 is background; any other value is the
// `label` of a class in the request's class table.
struct LabelMap {
  int width = 0;   // pixels
  int height = 0;  // pixels
  std::vector<uint16_t> data;
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_IMAGE_H_
