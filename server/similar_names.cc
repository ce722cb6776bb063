#include "server/similar_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ovdiff::server {
namespace {

constexpr size_t kMaxLookedAt = 2000;
constexpr size_t kMaxReturned = 3;

// Levenshtein's, in bytes.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> SimilarNames(
    absl::string_view name, const std::vector<store::ClassEntry>& classes) {
  const size_t limit = std::max<size_t>(2, name.size() / 3);
  std::vector<std::pair<size_t, std::string>> found;
  for (size_t i = 0; i < std::min(classes.size(), kMaxLookedAt); ++i) {
    const std::string& other = classes[i].name;
    const size_t longer = std::max(other.size(), name.size());
    if (longer - std::min(other.size(), name.size()) > limit) {
      continue;
    }
    const size_t distance = EditDistance(name, other);
    if (distance <= limit && distance < longer) {
      found.emplace_back(distance, other);
    }
  }
  std::sort(found.begin(), found.end());
  found.resize(std::min(found.size(), kMaxReturned));
  std::vector<std::string> names;
  for (auto& [distance, other] : found) {
    names.push_back(std::move(other));
  }
  return names;
}

}  // namespace ovdiff::server
