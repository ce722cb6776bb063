// Which classes of a vocabulary a new class can be taken for.
#ifndef OVDIFF_SERVER_SIMILAR_CLASSES_H_
#define OVDIFF_SERVER_SIMILAR_CLASSES_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

struct SimilarClasses {
  // By name of a new class: at most 5 others, most similar first. Those
  // without any are not in it.
  std::map<std::string, std::vector<v1::SimilarClass>> by_name;
  int64_t num_pairs_left_out = 0;  // Unreadable, or too much work for one call.
};

// Compares the classes `added` of `vocabulary` with all of it, as
// DiffVocabularyVersions does and within its bounds: a minute or so of one core
// where it is large. Holds no lock. Fails as DiffVocabularies().
absl::StatusOr<SimilarClasses> FindSimilarClasses(
    const store::PrototypeStore& store, const store::Vocabulary& vocabulary,
    const std::set<std::string>& added, double threshold,
    const CallControl& control);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SIMILAR_CLASSES_H_
