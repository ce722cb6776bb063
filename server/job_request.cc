#include "server/job_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "google/protobuf/util/message_differencer.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/given_pictures.h"
#include "server/grpc_status.h"
#include "server/prompt_spec.h"
#include "server/validate_prompt_spec.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

constexpr size_t kIdHexDigits = 40;

// What is asked for: two requests with the same hash are one job. Options count
// as the caller wrote them, so that a job keeps its identity when the server's
// defaults change.
std::string ContentHash(const v1::AddClassesRequest& request) {
  const v1::BuildOptions& options = request.options();
  Sha256 hash;
  hash.UpdateField("ovdiff.job.1");
  hash.UpdateField(request.vocabulary());
  hash.UpdateField(absl::StrCat(request.classes_size()));
  for (const v1::ClassSpec& spec : request.classes()) {
    hash.UpdateField(spec.name());
    hash.UpdateField(spec.prompt().empty() ? spec.name() : spec.prompt());
    hash.UpdateField(KindOf(spec) == ClassKind::kStuff ? "stuff" : "thing");
    if (!IsPlain(spec)) {
      // No name has the line break that this has: never taken for the next one.
      hash.UpdateField(PromptSpecText(spec));
    }
  }
  const auto update = [&hash](bool has, const std::string& value) {
    hash.UpdateField(has ? "set" : "unset");
    hash.UpdateField(has ? value : "");
  };
  update(options.has_num_pictures(), absl::StrCat(options.num_pictures()));
  update(options.has_num_steps(), absl::StrCat(options.num_steps()));
  update(options.has_guidance_scale(), absl::StrCat(options.guidance_scale()));
  update(options.has_seed(), absl::StrCat(options.seed()));
  update(options.has_prompt_template(), options.prompt_template());
  update(options.has_negative_prompt(), options.negative_prompt());
  update(options.has_num_parts(), absl::StrCat(options.num_parts()));
  if (request.has_similar_threshold()) {
    hash.UpdateField("similar_threshold");
    hash.UpdateField(absl::StrCat(request.similar_threshold()));
  }
  // What came after the first release: only where it is asked for, so that
  // requests from before keep their hash.
  v1::BuildOptions later = options;
  later.clear_num_pictures();
  later.clear_num_steps();
  later.clear_guidance_scale();
  later.clear_seed();
  later.clear_prompt_template();
  later.clear_negative_prompt();
  later.clear_num_parts();
  if (later.ByteSizeLong() > 0) {
    hash.UpdateField("options");
    hash.UpdateField(later.SerializeAsString());
  }
  if (!request.profile().empty()) {
    hash.UpdateField("profile");
    hash.UpdateField(request.profile());
  }
  return ToHex(hash.Finish());
}

// `spec` with the kind that it has, said or not.
v1::ClassSpec WithKind(v1::ClassSpec spec) {
  spec.set_kind(FromKind(KindOf(spec)));
  return spec;
}

std::string ThresholdText(const v1::AddClassesRequest& request) {
  return request.has_similar_threshold()
             ? absl::StrCat(request.similar_threshold())
             : "unset";
}

absl::Status ValidateThreshold(const v1::AddClassesRequest& request) {
  const double threshold = request.similar_threshold();
  if (threshold >= -1 && threshold <= 1) {  // Not NaN.
    return absl::OkStatus();
  }
  return FieldError(
      "similar_threshold",
      absl::StrCat("similar_threshold is ", threshold, "; -1 to 1 are allowed"),
      reasons::kInvalidField);
}

}  // namespace

absl::Status ValidateJobRequest(const v1::AddClassesRequest& request,
                                const ResolvedBuildOptions& options,
                                const engine::Engine& engine,
                                const Limits& limits) {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(request.vocabulary()));
  OVDIFF_RETURN_IF_ERROR(ValidateJobId(request.request_id(), "request_id",
                                       /*may_be_empty=*/true));
  OVDIFF_RETURN_IF_ERROR(ValidateClasses(request.classes(), limits));
  OVDIFF_RETURN_IF_ERROR(ValidateThreshold(request));
  OVDIFF_RETURN_IF_ERROR(ValidateBuildOptions(options, engine, limits));
  for (int i = 0; i < request.classes_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(ValidatePromptsFit(request.classes(i),
                                              absl::StrCat("classes[", i, "]"),
                                              options.generation, engine));
  }
  return absl::OkStatus();
}

storage::v1::JobRecord MakeJobRecord(const v1::AddClassesRequest& request,
                                     const ResolvedBuildOptions& options,
                                     const engine::Engine& engine) {
  storage::v1::JobRecord record;
  record.set_format(
      std::all_of(request.classes().begin(), request.classes().end(), IsPlain)
          ? kPlainJobRecordFormat
          : kJobRecordFormat);
  record.set_content_hash(ContentHash(request));
  *record.mutable_request() = request;
  *record.mutable_request()->mutable_options() =
      FromBuildOptions(options, engine.info());
  v1::Job& job = *record.mutable_job();
  job.set_id(
      request.request_id().empty()
          ? absl::StrCat("c-", record.content_hash().substr(0, kIdHexDigits))
          : request.request_id());
  job.set_state(v1::JOB_STATE_QUEUED);
  job.set_vocabulary(request.vocabulary());
  *job.mutable_create_time() = ToTimestamp(absl::Now());
  job.mutable_fingerprints()->set_generator(
      ToHex(engine.GeneratorFingerprint(options.generation)));
  job.mutable_fingerprints()->set_encoder(
      ToHex(engine.EncoderFingerprint(options.prototype)));
  // A job is not changed by a later server's list of kinds.
  for (v1::ClassSpec& spec : *record.mutable_request()->mutable_classes()) {
    spec = WithKind(std::move(spec));
    v1::ClassProgress& progress = *job.add_classes();
    progress.set_name(spec.name());
    progress.set_kind(spec.kind());
    progress.set_stage(v1::CLASS_STAGE_WAITING);
    const int per_prompt = options.generation.num_pictures;
    const int painted = NumPaintedPictures(spec, per_prompt);
    progress.set_num_pictures(
        painted > 0 ? painted : NumSupportPictures(spec, per_prompt));
  }
  return record;
}

absl::StatusOr<std::vector<store::ContentKey>> KeysOfJobs(
    const store::PrototypeStore& store) {
  // A damaged job cannot be resumed, and needs nothing.
  OVDIFF_ASSIGN_OR_RETURN(const auto jobs, store.ListJobs(nullptr));
  std::vector<store::ContentKey> keys;
  for (const auto& [id, bytes] : jobs) {
    storage::v1::JobRecord record;
    if (!record.ParseFromString(bytes) || record.format() > kJobRecordFormat) {
      return absl::FailedPreconditionError(absl::StrCat(
          "job ", Quoted(id), " is of format ", record.format(),
          "; this program reads up to ", kJobRecordFormat,
          ": it cannot be told what the job needs; use a newer program"));
    }
    if (record.has_end_time()) {
      continue;
    }
    const v1::Fingerprints& made_by = record.job().fingerprints();
    OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest generator,
                            Sha256FromHex(made_by.generator()));
    OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest encoder,
                            Sha256FromHex(made_by.encoder()));
    for (const v1::ClassSpec& spec : record.request().classes()) {
      const std::string text = PromptSpecText(spec);
      keys.push_back(store::SupportKey(text, generator));
      keys.push_back(store::PrototypeKey(text, generator, encoder));
      if (IsPlain(spec)) {
        continue;
      }
      keys.push_back(GivenPicturesKey(spec));
      for (const std::string& prompt : AllPaintedPrompts(spec)) {
        keys.push_back(store::SupportKey(prompt, generator));
      }
    }
  }
  return keys;
}

absl::Status RequestIdReused(const v1::AddClassesRequest& held,
                             const v1::AddClassesRequest& wanted,
                             const v1::BuildOptions& options) {
  std::string difference;
  if (held.vocabulary() != wanted.vocabulary()) {
    difference = absl::StrCat("vocabulary ", Quoted(held.vocabulary()),
                              ", not ", Quoted(wanted.vocabulary()));
  } else if (held.classes_size() != wanted.classes_size()) {
    difference = absl::StrCat(held.classes_size(), " classes, not ",
                              wanted.classes_size());
  } else {
    for (int i = 0; i < held.classes_size() && difference.empty(); ++i) {
      if (!google::protobuf::util::MessageDifferencer::Equals(
              WithKind(held.classes(i)), WithKind(wanted.classes(i)))) {
        difference = absl::StrCat(
            "classes[", i, "] ", Quoted(held.classes(i).name()),
            " where this request has ", Quoted(wanted.classes(i).name()),
            held.classes(i).name() == wanted.classes(i).name()
                ? " with another kind, prompt, picture or negative"
                : "");
      }
    }
  }
  if (difference.empty() && ThresholdText(held) != ThresholdText(wanted)) {
    difference = absl::StrCat("similar_threshold ", ThresholdText(held),
                              ", not ", ThresholdText(wanted));
  }
  if (difference.empty()) {
    difference = absl::StrCat("options {", held.options().ShortDebugString(),
                              "}, not {", options.ShortDebugString(), "}");
  }
  return ResourceError(absl::StatusCode::kAlreadyExists, "ovdiff.v1.Job",
                       wanted.request_id(),
                       absl::StrCat("request_id ", Quoted(wanted.request_id()),
                                    " belongs to a job with ", difference,
                                    "; use another request_id for another job"),
                       reasons::kRequestIdReused);
}

}  // namespace ovdiff::server
