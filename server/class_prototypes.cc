#include "server/class_prototypes.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/grpc_status.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

void Append(const PrototypeVectors& vectors, int first_picture,
            PrototypeVectors& side) {
  side.values.insert(side.values.end(), vectors.values.begin(),
                     vectors.values.end());
  side.levels.insert(side.levels.end(), vectors.levels.begin(),
                     vectors.levels.end());
  for (const int32_t source : vectors.source_pictures) {
    side.source_pictures.push_back(source < 0 ? source
                                              : source + first_picture);
  }
}

// Progress of one set of several as progress of all: `done` pictures were
// encoded before it. Only the last set's clustering is told as such, for stages
// must not go back.
engine::BuildProgress Overall(const engine::BuildProgress& progress, int done,
                              int total) {
  engine::BuildProgress overall = progress;
  overall.num_pictures = total;
  const bool is_last = done + progress.num_pictures >= total;
  if (progress.stage == engine::BuildStage::kClustering && !is_last) {
    overall.stage = engine::BuildStage::kEncoding;
    overall.pictures_done = done + progress.num_pictures;
  } else {
    overall.pictures_done = done + progress.pictures_done;
  }
  return overall;
}

std::string NameOf(const SupportSet& negative, size_t index) {
  return negative.prompt.empty()
             ? absl::StrCat("negative ", index, " (a given picture)")
             : absl::StrCat("negative ", Quoted(negative.prompt));
}

}  // namespace

absl::Status AddNegative(const PrototypeSet& negative, int first_picture,
                         PrototypeSet& set) {
  for (FeatureSpacePrototypes& space : set.spaces) {
    const auto found =
        std::find_if(negative.spaces.begin(), negative.spaces.end(),
                     [&](const auto& of) { return of.space == space.space; });
    if (found == negative.spaces.end() || found->dim != space.dim ||
        negative.spaces.size() != set.spaces.size()) {
      return absl::InternalError(absl::StrCat(
          "the negative's prototypes have not the class's spaces: ",
          space.space));
    }
    Append(found->foreground, first_picture, space.background);
  }
  return absl::OkStatus();
}

absl::StatusOr<PrototypeSet> BuildClassPrototypes(
    engine::Engine& engine, const ClassPictures& pictures,
    const PrototypeOptions& options, const CallControl& control,
    const engine::ProgressCallback& progress) {
  int total = static_cast<int>(pictures.own.pictures.size());
  for (const SupportSet& negative : pictures.negatives) {
    total += static_cast<int>(negative.pictures.size());
  }
  int done = 0;
  const engine::ProgressCallback on_progress =
      [&](const engine::BuildProgress& update) {
        progress(Overall(update, done, total));
      };
  OVDIFF_ASSIGN_OR_RETURN(
      PrototypeSet set,
      engine.BuildPrototypeSet(pictures.own, options, control, on_progress));
  done += static_cast<int>(pictures.own.pictures.size());
  for (size_t i = 0; i < pictures.negatives.size(); ++i) {
    const SupportSet& negative = pictures.negatives[i];
    PrototypeOptions of_negative = options;
    if (negative.prompt.empty()) {
      of_negative.prune_share = 0;  // One picture, and nothing to compare with.
    }
    const auto built =
        engine.BuildPrototypeSet(negative, of_negative, control, on_progress);
    OVDIFF_RETURN_IF_ERROR(WithPrefix(built.status(), NameOf(negative, i)));
    OVDIFF_RETURN_IF_ERROR(AddNegative(*built, done, set));
    done += static_cast<int>(negative.pictures.size());
  }
  return set;
}

}  // namespace ovdiff::server
