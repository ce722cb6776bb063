#include "store/validation.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ovdiff::store {
namespace {

// Index of the first value that is not finite (or below `lowest`), or the size.
size_t FirstBad(const std::vector<float>& values, float lowest) {
  size_t i = 0;
  while (i < values.size() && std::isfinite(values[i]) && values[i] >= lowest) {
    ++i;
  }
  return i;
}

absl::Status ValidatePrompt(const std::string& prompt) {
  if (prompt.size() > kMaxPromptBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt.size(), " bytes; at most ",
                     kMaxPromptBytes, " are allowed"));
  }
  return absl::OkStatus();
}

// `where` names the side in messages: "sd foreground".
absl::Status ValidateVectors(const PrototypeVectors& vectors, int32_t dim,
                             absl::string_view where) {
  const size_t count = vectors.count();
  if (vectors.source_pictures.size() != count ||
      vectors.values.size() != count * static_cast<size_t>(dim)) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": ", count, " levels, ", vectors.source_pictures.size(),
        " source pictures and ", vectors.values.size(),
        " values do not agree at dim ", dim));
  }
  for (size_t i = 0; i < count; ++i) {
    if (vectors.levels[i] > PrototypeLevel::kPart ||
        vectors.source_pictures[i] < -1) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": vector ", i, " has level ",
          static_cast<int>(vectors.levels[i]), " (allowed 0…2) and picture ",
          vectors.source_pictures[i], " (allowed -1 and above)"));
    }
  }
  const size_t bad = FirstBad(vectors.values, -HUGE_VALF);
  if (bad != vectors.values.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": value ", bad, " is not finite"));
  }
  return absl::OkStatus();
}

absl::Status ValidateSpace(const FeatureSpacePrototypes& space) {
  OVDIFF_RETURN_IF_ERROR(ValidateName("the feature space's name", space.space));
  if (space.dim < 1 || space.dim > kMaxDim) {
    return absl::InvalidArgumentError(
        absl::StrCat("feature space '", space.space, "': dim ", space.dim,
                     "; 1 to ", kMaxDim, " is allowed"));
  }
  if (space.foreground.count() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "feature space '", space.space, "' has no foreground vector"));
  }
  OVDIFF_RETURN_IF_ERROR(ValidateVectors(
      space.foreground, space.dim, absl::StrCat(space.space, " foreground")));
  return ValidateVectors(space.background, space.dim,
                         absl::StrCat(space.space, " background"));
}

}  // namespace

absl::Status ValidateName(absl::string_view what, absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", name.size(), " bytes; 1 to ", kMaxNameBytes,
                     " are allowed"));
  }
  if (name.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " holds a NUL byte; take it out"));
  }
  return absl::OkStatus();
}

absl::Status ValidateVocabularyId(const VocabularyId& id) {
  OVDIFF_RETURN_IF_ERROR(ValidateName("the project's name", id.project));
  return ValidateName("the vocabulary's name", id.name);
}

absl::Status ValidatePrototypeRecord(const PrototypeRecord& record) {
  OVDIFF_RETURN_IF_ERROR(ValidatePrompt(record.prompt));
  if (record.set.spaces.empty()) {
    return absl::InvalidArgumentError(
        "the prototype set has no feature space; at least one is needed");
  }
  absl::flat_hash_set<absl::string_view> names;
  for (const FeatureSpacePrototypes& space : record.set.spaces) {
    OVDIFF_RETURN_IF_ERROR(ValidateSpace(space));
    if (!names.insert(space.space).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the prototype set has feature space '", space.space, "' twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateSupportRecord(const SupportRecord& record) {
  OVDIFF_RETURN_IF_ERROR(ValidatePrompt(record.prompt));
  if (record.pictures.empty()) {
    return absl::InvalidArgumentError(
        "the support set has no picture; at least one is needed");
  }
  if (record.pictures.front().negative != 0) {
    return absl::InvalidArgumentError(
        "support picture 0 shows what the class is not; first come those that "
        "show the class");
  }
  for (size_t i = 0; i < record.pictures.size(); ++i) {
    const SupportPictureRecord& picture = record.pictures[i];
    if (i > 0 && picture.negative < record.pictures[i - 1].negative) {
      return absl::InvalidArgumentError(absl::StrCat(
          "support picture ", i, " is of negative ", picture.negative,
          " after one of ", record.pictures[i - 1].negative,
          "; pictures of the class come first, then those of its negatives in "
          "order"));
    }
    const int64_t width = picture.attribution_width;
    const int64_t height = picture.attribution_height;
    if (picture.png.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("support picture ", i, " has no bytes"));
    }
    if (width < 0 || height < 0 || width > kMaxAttributionSide ||
        height > kMaxAttributionSide ||
        static_cast<int64_t>(picture.attribution.size()) != width * height) {
      return absl::InvalidArgumentError(absl::StrCat(
          "support picture ", i, ": an attribution map of ", width, "x", height,
          " with ", picture.attribution.size(), " values; sides up to ",
          kMaxAttributionSide, " and width x height values are allowed"));
    }
    const size_t bad = FirstBad(picture.attribution, 0.0f);
    if (bad != picture.attribution.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("support picture ", i, ": attribution value ", bad,
                       " is not finite and 0 or more"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateNewClasses(absl::Span<const NewClass> classes) {
  absl::flat_hash_set<absl::string_view> names;
  for (const NewClass& new_class : classes) {
    OVDIFF_RETURN_IF_ERROR(ValidateName("the class name", new_class.name));
    OVDIFF_RETURN_IF_ERROR(ValidatePrompt(new_class.prompt));
    if (!names.insert(new_class.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "class '", new_class.name, "' is given twice; give each name once"));
    }
    if (new_class.kind != ClassKind::kThing &&
        new_class.kind != ClassKind::kStuff) {
      return absl::InvalidArgumentError(
          absl::StrCat("class '", new_class.name, "': unknown kind ",
                       static_cast<int>(new_class.kind)));
    }
    if (new_class.set.has_value()) {
      const absl::Status status = ValidatePrototypeRecord(*new_class.set);
      if (!status.ok()) {
        return absl::Status(
            status.code(),
            absl::StrCat("class '", new_class.name, "': ", status.message()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::store
