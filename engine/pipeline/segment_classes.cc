#include "engine/pipeline/segment_classes.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/loaded_prototypes.h"

namespace ovdiff::engine {
namespace {

const MatchablePrototypes& PrototypesOf(const SegmentClass& item) {
  return static_cast<const MatchablePrototypes&>(*item.prototypes);
}

}  // namespace

absl::Status CheckClasses(absl::Span<const SegmentClass> classes) {
  if (classes.empty()) {
    return absl::InvalidArgumentError(
        "there is no class to look for; name at least one");
  }
  std::set<uint16_t> labels;
  for (const SegmentClass& item : classes) {
    if (item.label == 0 || !labels.insert(item.label).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("class \"", item.name, "\" has label ", item.label,
                       item.label == 0 ? ", which means background"
                                       : ", which another class has",
                       "; labels are distinct, 1 to 65535"));
    }
    if (dynamic_cast<const MatchablePrototypes*>(item.prototypes.get()) ==
        nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("class \"", item.name,
                       "\" has no prototypes of Engine::LoadPrototypes()"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CommonSpaces(
    absl::Span<const SegmentClass> classes, const SegmentOptions& options,
    const Bundle& bundle) {
  std::vector<std::string> common;
  for (const SpaceSpec& spec : bundle.spaces) {
    const std::string& space = spec.name;
    if (!options.spaces.empty() &&
        std::find(options.spaces.begin(), options.spaces.end(), space) ==
            options.spaces.end()) {
      continue;
    }
    bool everywhere = true;
    for (const SegmentClass& item : classes) {
      if (PrototypesOf(item).FindSpace(space) != nullptr) {
        continue;
      }
      everywhere = false;
      if (!options.spaces.empty()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "class \"", item.name, "\" has no prototypes in space ", space,
            ", which segment.spaces asks for; add the class again with it"));
      }
    }
    if (everywhere) {
      common.push_back(space);
    }
  }
  if (common.empty()) {
    return absl::FailedPreconditionError(
        "no feature space is common to all classes; add them again with the "
        "same prototype.spaces");
  }
  return common;
}

std::vector<SpaceVectors> CollectVectors(absl::Span<const SegmentClass> classes,
                                         const std::vector<size_t>& kept,
                                         const std::vector<std::string>& spaces,
                                         const SegmentOptions& options,
                                         const ModelSet& models) {
  std::vector<SpaceVectors> result;
  for (const std::string& name : spaces) {
    SpaceVectors vectors;
    vectors.space = models.FindSpace(name);
    const auto weight = options.space_weights.find(name);
    if (weight != options.space_weights.end()) {
      vectors.weight = weight->second;
    }
    for (const size_t index : kept) {
      const MatchablePrototypes::Space& space =
          *PrototypesOf(classes[index]).FindSpace(name);
      MatchablePrototypes::Vectors foreground =
          space.foreground.Select(options);
      vectors.foregrounds.push_back(std::move(foreground.vectors));
      vectors.foreground_rows.push_back(std::move(foreground.rows));
      const bool has_background =
          options.use_background && !(options.stuff_filter.enabled &&
                                      classes[index].kind == ClassKind::kStuff);
      if (has_background && space.background.vectors.size(0) > 0) {
        MatchablePrototypes::Vectors background =
            space.background.Select(options);
        vectors.backgrounds.push_back(std::move(background.vectors));
        vectors.background_rows.push_back(std::move(background.rows));
        vectors.background_owners.push_back(index);
      }
    }
    result.push_back(std::move(vectors));
  }
  return result;
}

}  // namespace ovdiff::engine
