#include "engine/pipeline/loaded_prototypes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/ops/matching.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr std::array<PrototypeLevel, 3> kLevels = {
    PrototypeLevel::kClass, PrototypeLevel::kInstance, PrototypeLevel::kPart};

absl::Status CheckSpace(const FeatureSpacePrototypes& space,
                        const ModelSet& models) {
  const FeatureExtractor* extractor = models.FindSpace(space.space);
  if (extractor == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the prototypes have feature space \"", space.space,
                     "\", which this bundle has not; add the class again"));
  }
  if (space.dim != extractor->feature_dim()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the prototypes of space ", space.space, " have length ",
                     space.dim, ", this bundle's features ",
                     extractor->feature_dim(), "; add the class again"));
  }
  for (const PrototypeVectors* side : {&space.foreground, &space.background}) {
    if (side->values.size() != side->count() * static_cast<size_t>(space.dim)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the prototypes of space ", space.space, " have ",
                       side->values.size(), " values for ", side->count(),
                       " vectors of ", space.dim));
    }
  }
  return absl::OkStatus();
}

MatchablePrototypes::Vectors VectorsOfLevel(const PrototypeVectors& vectors,
                                            int64_t dim, PrototypeLevel level) {
  std::vector<float> values;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < vectors.count(); ++i) {
    if (vectors.levels[i] == level) {
      const auto begin = vectors.values.begin() + static_cast<int64_t>(i) * dim;
      values.insert(values.end(), begin, begin + dim);
      rows.push_back(static_cast<int64_t>(i));
    }
  }
  const auto count = static_cast<int64_t>(rows.size());
  torch::Tensor with_direction;
  const torch::Tensor unit = NormalisedVectors(
      torch::from_blob(values.data(), {count, dim}, torch::kFloat32),
      &with_direction);
  return {unit, torch::from_blob(rows.data(), {count}, torch::kInt64)
                    .index_select(0, with_direction)};
}

MatchablePrototypes::Side LoadSide(const PrototypeVectors& vectors, int64_t dim,
                                   torch::Device device) {
  MatchablePrototypes::Side side;
  std::vector<torch::Tensor> parts;
  std::vector<torch::Tensor> rows;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    MatchablePrototypes::Vectors level =
        VectorsOfLevel(vectors, dim, kLevels[i]);
    side.first[i + 1] = side.first[i] + level.rows.size(0);
    parts.push_back(std::move(level.vectors));
    rows.push_back(std::move(level.rows));
  }
  side.vectors = torch::cat(parts).to(device);
  side.rows = torch::cat(rows);
  return side;
}

}  // namespace

MatchablePrototypes::Vectors MatchablePrototypes::Side::Select(
    const SegmentOptions& options) const {
  const std::array<bool, 3> used = {options.use_class_level,
                                    options.use_instance_level,
                                    options.use_part_level};
  if (used[0] && used[1] && used[2]) {
    return *this;
  }
  const auto select = [&](const torch::Tensor& all) {
    std::vector<torch::Tensor> parts;
    for (size_t level = 0; level < used.size(); ++level) {
      if (used[level]) {
        parts.push_back(
            all.narrow(0, first[level], first[level + 1] - first[level]));
      }
    }
    return torch::cat(parts);
  };
  return {select(vectors), select(rows)};
}

absl::StatusOr<std::shared_ptr<const MatchablePrototypes>>
MatchablePrototypes::Load(const PrototypeSet& set, const ModelSet& models,
                          torch::Device device) {
  auto result = std::make_shared<MatchablePrototypes>();
  for (const FeatureSpacePrototypes& space : set.spaces) {
    OVDIFF_RETURN_IF_ERROR(CheckSpace(space, models));
    Space loaded{LoadSide(space.foreground, space.dim, device),
                 LoadSide(space.background, space.dim, device)};
    if (loaded.foreground.vectors.size(0) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("the prototypes of space ", space.space,
                       " have no foreground vector with a direction"));
    }
    result->size_bytes_ +=
        loaded.foreground.vectors.nbytes() + loaded.background.vectors.nbytes();
    if (!result->spaces_.emplace(space.space, std::move(loaded)).second) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the prototypes have feature space \"", space.space, "\" twice"));
    }
  }
  if (result->spaces_.empty()) {
    return absl::FailedPreconditionError("the prototype set is empty");
  }
  return std::shared_ptr<const MatchablePrototypes>(std::move(result));
}

const MatchablePrototypes::Space* MatchablePrototypes::FindSpace(
    const std::string& name) const {
  const auto found = spaces_.find(name);
  return found == spaces_.end() ? nullptr : &found->second;
}

}  // namespace ovdiff::engine
