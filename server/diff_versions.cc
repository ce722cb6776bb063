#include "server/diff_versions.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/validation.h"
#include "store/pack/vocabulary_diff.h"

namespace ovdiff::server {
namespace {

absl::StatusOr<VocabularyCache::VocabularyPtr> Find(
    const v1::VocabularyVersion& version, absl::string_view field,
    VocabularyCache& cache) {
  OVDIFF_RETURN_IF_ERROR(
      WithPrefix(ValidateVocabularyName(version.vocabulary()), field));
  OVDIFF_RETURN_IF_ERROR(WithPrefix(ValidateVersion(version.version()), field));
  return cache.GetVocabulary(version.vocabulary(), version.version());
}

void Describe(const store::Vocabulary& vocabulary,
              v1::VocabularyVersion& version) {
  version.set_vocabulary(vocabulary.id.name);
  version.set_version(vocabulary.version);
}

v1::ChangedClass FromChanged(const store::ChangedClass& changed) {
  v1::ChangedClass out;
  *out.mutable_before() = FromEntry(changed.before);
  *out.mutable_after() = FromEntry(changed.after);
  out.set_other_generator(changed.is_other_generator);
  out.set_other_encoder(changed.is_other_encoder);
  for (const store::SpaceDrift& drift : changed.drift) {
    v1::SpaceDrift& row = *out.add_drift();
    row.set_space(drift.space);
    row.set_cosine(drift.cosine);
  }
  return out;
}

v1::ConfusablePair FromPair(const store::ConfusablePair& pair) {
  v1::ConfusablePair out;
  out.set_first(pair.first);
  out.set_second(pair.second);
  out.set_cosine(pair.cosine);
  if (pair.cosine_before.has_value()) {
    out.set_cosine_before(*pair.cosine_before);
  }
  return out;
}

void FromDiff(const store::VocabularyDiff& diff,
              v1::DiffVocabularyVersionsResponse& response) {
  for (const store::ClassEntry& entry : diff.added) {
    *response.add_added() = FromEntry(entry);
  }
  for (const store::ClassEntry& entry : diff.removed) {
    *response.add_removed() = FromEntry(entry);
  }
  for (const store::ChangedClass& changed : diff.changed) {
    *response.add_changed() = FromChanged(changed);
  }
  for (const store::ConfusablePair& pair : diff.newly_confusable) {
    *response.add_newly_confusable() = FromPair(pair);
  }
  for (const auto& [name, status] : diff.unreadable) {
    v1::UnreadableClass& row = *response.add_unreadable();
    row.set_name(name);
    *row.mutable_error() = ToRpcStatus(WithReason(
        status, absl::IsDataLoss(status) ? reasons::kPrototypeDamaged
                                         : reasons::kPrototypeMissing));
  }
  response.set_num_unchanged(diff.num_unchanged);
  response.set_num_pairs_left_out(diff.num_pairs_left_out);
}

}  // namespace

absl::Status DiffVersions(const v1::DiffVocabularyVersionsRequest& request,
                          VocabularyCache& cache,
                          const store::PrototypeStore& store,
                          const CallControl& control,
                          v1::DiffVocabularyVersionsResponse& response) {
  store::DiffOptions options;
  if (request.has_confusable_threshold()) {
    options.confusable_threshold = request.confusable_threshold();
  }
  if (!(options.confusable_threshold >= -1 &&
        options.confusable_threshold <= 1)) {
    return FieldError(
        "confusable_threshold",
        absl::StrCat("confusable_threshold is ", options.confusable_threshold,
                     "; -1 to 1 are allowed"),
        reasons::kInvalidField);
  }
  OVDIFF_ASSIGN_OR_RETURN(const auto from, Find(request.from(), "from", cache));
  OVDIFF_ASSIGN_OR_RETURN(const auto to, Find(request.to(), "to", cache));
  OVDIFF_ASSIGN_OR_RETURN(
      const store::VocabularyDiff diff,
      store::DiffVocabularies(store, *from, *to, options, control));
  Describe(*from, *response.mutable_from());
  Describe(*to, *response.mutable_to());
  response.set_confusable_threshold(options.confusable_threshold);
  FromDiff(diff, response);
  return absl::OkStatus();
}

}  // namespace ovdiff::server
