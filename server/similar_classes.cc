#include "server/similar_classes.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/base/status_macros.h"
#include "store/pack/vocabulary_diff.h"

namespace ovdiff::server {
namespace {

constexpr size_t kMaxSimilar = 5;

}  // namespace

absl::StatusOr<SimilarClasses> FindSimilarClasses(
    const store::PrototypeStore& store, const store::Vocabulary& vocabulary,
    const std::set<std::string>& added, double threshold,
    const CallControl& control) {
  // To the vocabulary without them all of them are new.
  store::Vocabulary before = vocabulary;
  std::erase_if(before.classes, [&](const store::ClassEntry& entry) {
    return added.count(entry.name) > 0;
  });
  store::DiffOptions options;
  options.confusable_threshold = threshold;
  OVDIFF_ASSIGN_OR_RETURN(
      const store::VocabularyDiff diff,
      store::DiffVocabularies(store, before, vocabulary, options, control));
  SimilarClasses similar;
  similar.num_pairs_left_out = diff.num_pairs_left_out;
  const auto add = [&](const std::string& name, const std::string& other,
                       double cosine) {
    if (added.count(name) > 0) {
      v1::SimilarClass& row = similar.by_name[name].emplace_back();
      row.set_name(other);
      row.set_cosine(cosine);
    }
  };
  for (const store::ConfusablePair& pair : diff.newly_confusable) {
    add(pair.first, pair.second, pair.cosine);
    add(pair.second, pair.first, pair.cosine);
  }
  for (auto& [name, others] : similar.by_name) {
    std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) {
      return std::tuple(-a.cosine(), a.name()) <
             std::tuple(-b.cosine(), b.name());
    });
    others.resize(std::min(others.size(), kMaxSimilar));
  }
  return similar;
}

}  // namespace ovdiff::server
