// What a picture file says of itself, read before anything is allocated for it.
#ifndef OVDIFF_SERVER_IMAGE_HEADER_H_
#define OVDIFF_SERVER_IMAGE_HEADER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::server {

enum class ImageFormat { kJpeg, kPng, kWebp, kBmp, kTiff, kPnm };

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  int64_t width = 0;    // pixels, as stored
  int64_t height = 0;   // pixels, as stored
  int orientation = 1;  // EXIF's, 1…8; 1 if the file has none.
};

// Recognises the format by content. kInvalidArgument for a format not listed, a
// file too short for its header or, for JPEG, one that ends before its picture
// does (the decoder would fill the rest with grey). Never reads outside
// `bytes`.
absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes);

// "JPEG", "PNG", …
absl::string_view FormatName(ImageFormat format);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_IMAGE_HEADER_H_
