// The choices of the category prefilter, given similarities (method.md section
// 7). Pure functions, torch-free.
#ifndef OVDIFF_ENGINE_PIPELINE_SUBSET_SEARCH_H_
#define OVDIFF_ENGINE_PIPELINE_SUBSET_SEARCH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace ovdiff::engine {

// Stage 1: classes whose softmax over the plain cosines (no logit scale) is at
// least 1 / number of classes; the `max_classes` best of them if there are
// more, the best of all if there is none. Indices into `cosines`, ascending;
// equal cosines go to the lower index. Never empty. REQUIRES: not empty,
// finite.
std::vector<size_t> LikelyClasses(absl::Span<const double> cosines,
                                  size_t max_classes);

// All non-empty subsets of `names`, as index lists, and the text of each:
// "a X and a Y", or without `articles` "X and Y". Subset s - 1 holds the names
// whose bit is set in s. REQUIRES: names.size() <= 12.
struct Subsets {
  std::vector<std::vector<size_t>> members;
  std::vector<std::string> texts;
};
Subsets ListSubsets(absl::Span<const std::string> names, bool articles);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUBSET_SEARCH_H_
