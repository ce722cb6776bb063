// Pictures in files, to and from plain images.
#ifndef OVDIFF_SERVER_IMAGE_CODEC_H_
#define OVDIFF_SERVER_IMAGE_CODEC_H_

#include <string>

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

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_IMAGE_CODEC_H_
