// Small pictures for replies.
#ifndef OVDIFF_SERVER_THUMBNAIL_H_
#define OVDIFF_SERVER_THUMBNAIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/image.h"

namespace ovdiff::server {

// `image` with both sides at most `max_side`, its shape kept; never enlarged.
Image Thumbnail(const Image& image, int max_side);

// `mask` [side, side], row-major, not 0 inside, stretched to width x height: an
// 8-bit grey PNG, 255 inside and 0 outside. kInternal if the encoder fails.
absl::StatusOr<std::string> EncodeMaskPng(const std::vector<uint8_t>& mask,
                                          int side, int width, int height);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_THUMBNAIL_H_
