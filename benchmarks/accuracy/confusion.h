// What a label map got right and wrong, pixel by pixel.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_CONFUSION_H_
#define OVDIFF_BENCHMARKS_ACCURACY_CONFUSION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/image.h"

namespace ovdiff::accuracy {

// Pixels with this true label are not looked at.
inline constexpr uint8_t kIgnoreLabel = 255;

// The true label of every pixel, row-major; 0 is background.
struct TrueLabels {
  int width = 0;   // pixels
  int height = 0;  // pixels
  std::vector<uint8_t> data;
};

// So many pixels of true label `truth` were called `predicted`.
struct Confusion {
  uint16_t truth = 0;
  uint16_t predicted = 0;
  int64_t pixels = 0;
};

// The confusions that occur, by (truth, predicted). `evaluated[label]` is the
// data set's label for label `label` of `predicted`, so that synonyms may share
// one; `evaluated[0]` stands for background. kInvalidArgument for maps of
// different sizes or a label without an entry.
absl::StatusOr<std::vector<Confusion>> CountConfusions(
    const TrueLabels& truth, const LabelMap& predicted,
    absl::Span<const uint16_t> evaluated);

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_CONFUSION_H_
