// Label PNGs: OpenCV gives an indexed PNG's colours, we need its indices.
#ifndef OVDIFF_CLIENT_LABEL_PNG_H_
#define OVDIFF_CLIENT_LABEL_PNG_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::client {

struct LabelPng {
  int width = 0;
  int height = 0;
  std::vector<uint16_t> labels;  // [height * width], row by row.
};

// Indexed (1 to 8 bits) or grey (1 to 16 bits) PNG. INVALID_ARGUMENT for other
// colour types, sides over 32,768, and damage.
absl::StatusOr<LabelPng> ReadLabelPng(absl::string_view png);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_LABEL_PNG_H_
