// Pictures in files, to and from plain images.
#ifndef OVDIFF_SERVER_IMAGE_CODEC_H_
#define OVDIFF_SERVER_IMAGE_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/image.h"
#include "server/server_options.h"

namespace ovdiff::server {

// kInvalidArgument, with the size found and the limit, unless both sides are
// positive and within the limits. Reason INVALID_IMAGE or IMAGE_TOO_LARGE.
absl::Status CheckImageSize(int64_t width, int64_t height,
                            const Limits& limits);

// Decodes a JPEG, PNG, WebP, BMP, TIFF (first page) or PNM file. EXIF
// orientation is applied; grey becomes RGB, alpha is laid on white, 16 bits
// become 8. The size is checked before anything is allocated. kInvalidArgument
// for what cannot be decoded whole.
absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const Limits& limits);

// Lossless. kInternal if the encoder fails.
absl::StatusOr<std::string> EncodePng(const Image& image);

// Where an object is: row-major, 1 where it is, 0 elsewhere.
struct Mask {
  int width = 0;   // pixels
  int height = 0;  // pixels
  std::vector<uint8_t> data;
};

// Decodes a lossless file of one channel, or of equal ones, of 8 or 16 bits; 0
// is not the object, all else is. EXIF orientation is applied. kInvalidArgument
// as DecodeImage(), and for a JPEG, colours, or transparent pixels.
absl::StatusOr<Mask> DecodeMask(absl::string_view bytes, const Limits& limits);

// Lossless, one channel, 255 where the object is. kInternal.
absl::StatusOr<std::string> EncodeMaskPng(const Mask& mask);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_IMAGE_CODEC_H_
