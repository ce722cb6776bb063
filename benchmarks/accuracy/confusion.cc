#include "benchmarks/accuracy/confusion.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ovdiff::accuracy {

absl::StatusOr<std::vector<Confusion>> CountConfusions(
    const TrueLabels& truth, const LabelMap& predicted,
    absl::Span<const uint16_t> evaluated) {
  if (truth.width != predicted.width || truth.height != predicted.height) {
    return absl::InvalidArgumentError(
        absl::StrCat("the true labels are ", truth.width, "x", truth.height,
                     " pixels and the picture's are ", predicted.width, "x",
                     predicted.height, "; they must be of one size"));
  }
  std::map<std::pair<uint16_t, uint16_t>, int64_t> counts;
  for (size_t i = 0; i < truth.data.size(); ++i) {
    if (predicted.data[i] >= evaluated.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("pixel ", i, " has label ", predicted.data[i],
                       ", which is no class's; there are ", evaluated.size()));
    }
    if (truth.data[i] != kIgnoreLabel) {
      ++counts[{truth.data[i], evaluated[predicted.data[i]]}];
    }
  }
  std::vector<Confusion> result;
  for (const auto& [pair, pixels] : counts) {
    result.push_back({pair.first, pair.second, pixels});
  }
  return result;
}

}  // namespace ovdiff::accuracy
