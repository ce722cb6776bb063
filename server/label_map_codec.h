// Label maps as the API writes them (LabelMapFormat).
#ifndef OVDIFF_SERVER_LABEL_MAP_CODEC_H_
#define OVDIFF_SERVER_LABEL_MAP_CODEC_H_

#include <string>

#include "absl/status/statusor.h"
#include "engine/base/image.h"

namespace ovdiff::server {

// Indexed 8-bit PNG with the colours of palette.h; 16-bit grey PNG if a label
// is over 255. kInternal if the encoder fails.
absl::StatusOr<std::string> EncodeLabelMapPng(const LabelMap& labels);

// width * height unsigned 16-bit little-endian values.
std::string EncodeLabelMapRaw(const LabelMap& labels);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_LABEL_MAP_CODEC_H_
