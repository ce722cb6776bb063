// "Did you mean …": names near one that is not there.
#ifndef OVDIFF_SERVER_SIMILAR_NAMES_H_
#define OVDIFF_SERVER_SIMILAR_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Up to three names of `classes` whose edit distance from `name` is at most a
// third of its length (at least 2), nearest first. Looks at no more than 2000.
std::vector<std::string> SimilarNames(
    absl::string_view name, const std::vector<store::ClassEntry>& classes);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SIMILAR_NAMES_H_
