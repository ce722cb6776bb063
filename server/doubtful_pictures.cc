#include "server/doubtful_pictures.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/given_pictures.h"
#include "server/prompt_spec.h"

namespace ovdiff::server {
namespace {

constexpr size_t kMaxOthers = 100;
// Less than this under the mean is rounding.
constexpr double kEpsilon = 1e-9;

// The other things of the vocabulary.
std::vector<const store::ClassEntry*> OtherThings(
    const v1::ClassSpec& spec, const store::Vocabulary& vocabulary) {
  std::vector<const store::ClassEntry*> others;
  for (const store::ClassEntry& entry : vocabulary.classes) {
    if (entry.kind == ClassKind::kThing && entry.name != spec.name() &&
        others.size() < kMaxOthers) {
      others.push_back(&entry);
    }
  }
  return others;
}

std::vector<std::string> OwnPrompts(const v1::ClassSpec& spec) {
  std::vector<std::string> names = {MainPrompt(spec)};
  for (const std::string& synonym : spec.synonyms()) {
    names.push_back(NormalPrompt(synonym));
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<v1::DoubtfulPicture>> FindDoubtfulPictures(
    const v1::ClassSpec& digested, const store::Vocabulary& vocabulary,
    const Limits& limits, const store::PrototypeStore& store,
    engine::Engine& engine, const CallControl& control) {
  std::vector<v1::DoubtfulPicture> doubtful;
  const std::vector<const store::ClassEntry*> others =
      OtherThings(digested, vocabulary);
  const bool all_masked = std::none_of(
      digested.pictures().begin(), digested.pictures().end(),
      [](const v1::GivenPicture& picture) { return picture.mask().empty(); });
  if (all_masked || others.empty() || KindOf(digested) == ClassKind::kStuff) {
    return doubtful;
  }
  OVDIFF_RETURN_IF_ERROR(control.Check());
  std::vector<std::string> names = OwnPrompts(digested);
  const auto num_own = static_cast<int64_t>(names.size());
  for (const store::ClassEntry* other : others) {
    // The first line of a spec's text (prompt_spec.h) is its prompt.
    names.push_back(other->prompt.substr(0, other->prompt.find('\n')));
  }
  OVDIFF_ASSIGN_OR_RETURN(
      const std::vector<SupportPicture> pictures,
      LoadGivenPictures(digested, engine.info().picture_size, limits, store));
  for (int i = 0; i < digested.pictures_size(); ++i) {
    if (!digested.pictures(i).mask().empty()) {
      continue;
    }
    OVDIFF_ASSIGN_OR_RETURN(
        const std::vector<double> cosines,
        engine.CompareWithNames(pictures[i].image, names, control));
    const auto first_other = cosines.begin() + num_own;
    const double own = *std::max_element(cosines.begin(), first_other);
    const double mean = std::accumulate(first_other, cosines.end(), own) /
                        static_cast<double>(others.size() + 1);
    if (own < mean - kEpsilon) {
      v1::DoubtfulPicture& row = doubtful.emplace_back();
      row.set_index(i);
      row.set_found(
          others[std::max_element(first_other, cosines.end()) - first_other]
              ->name);
    }
  }
  return doubtful;
}

}  // namespace ovdiff::server
