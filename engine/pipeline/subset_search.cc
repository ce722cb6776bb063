#include "engine/pipeline/subset_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace ovdiff::engine {

std::vector<size_t> LikelyClasses(absl::Span<const double> cosines,
                                  size_t max_classes) {
  double sum = 0;
  for (const double cosine : cosines) {
    sum += std::exp(cosine);
  }
  // Equal cosines give exactly 1/C, which rounding must not push below it.
  const double least = sum / static_cast<double>(cosines.size()) * (1 - 1e-12);
  std::vector<size_t> order(cosines.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return cosines[a] > cosines[b]; });
  const auto passed = static_cast<size_t>(std::count_if(
      cosines.begin(), cosines.end(),
      [least](double cosine) { return std::exp(cosine) >= least; }));
  // The largest is never below the mean, so `passed` is at least 1 for finite
  // cosines; the paper's "top eta if none" then never acts.
  order.resize(
      std::min({std::max<size_t>(passed, 1), max_classes, cosines.size()}));
  std::sort(order.begin(), order.end());
  return order;
}

Subsets ListSubsets(absl::Span<const std::string> names, bool articles) {
  const char* article = articles ? "a " : "";
  Subsets subsets;
  const size_t count = size_t{1} << names.size();
  for (size_t bits = 1; bits < count; ++bits) {
    std::vector<size_t> members;
    std::string text;
    for (size_t i = 0; i < names.size(); ++i) {
      if ((bits >> i & 1) != 0) {
        absl::StrAppend(&text, members.empty() ? "" : " and ", article,
                        names[i]);
        members.push_back(i);
      }
    }
    subsets.members.push_back(std::move(members));
    subsets.texts.push_back(std::move(text));
  }
  return subsets;
}

}  // namespace ovdiff::engine
