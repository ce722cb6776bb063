#include "server/pack_importer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/class_prototypes.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/prompt_spec.h"
#include "server/support_records.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr int kMaxTrustedKeys = 16;

// What the pack itself is at fault for, as callers should see it: a store's
// kDataLoss is ours, a damaged upload is theirs.
absl::Status PackError(const absl::Status& status) {
  if (absl::IsDataLoss(status)) {
    return FieldError("data",
                      absl::StrCat("the pack is damaged: ", status.message()),
                      reasons::kPackDamaged);
  }
  if (absl::IsFailedPrecondition(status) && ReasonOf(status).empty()) {
    return PreconditionError("pack", status.message(), reasons::kPackFormat);
  }
  return status;
}

store::ConflictPolicy ToPolicy(v1::ConflictPolicy policy) {
  switch (policy) {
    case v1::CONFLICT_POLICY_REPLACE:
      return store::ConflictPolicy::kReplace;
    case v1::CONFLICT_POLICY_SKIP:
      return store::ConflictPolicy::kSkip;
    default:
      return store::ConflictPolicy::kFail;
  }
}

v1::ImportOutcome FromOutcome(store::ImportOutcome outcome) {
  switch (outcome) {
    case store::ImportOutcome::kAdded:
      return v1::IMPORT_OUTCOME_ADDED;
    case store::ImportOutcome::kUnchanged:
      return v1::IMPORT_OUTCOME_UNCHANGED;
    case store::ImportOutcome::kReplaced:
      return v1::IMPORT_OUTCOME_REPLACED;
    case store::ImportOutcome::kSkipped:
      return v1::IMPORT_OUTCOME_SKIPPED;
  }
  return v1::IMPORT_OUTCOME_UNSPECIFIED;
}

bool IsOneOf(const store::Ed25519PublicKey& key, absl::string_view bytes) {
  return bytes == absl::string_view(reinterpret_cast<const char*>(key.data()),
                                    key.size());
}

}  // namespace

PackImporter::PackImporter(engine::Engine& engine, store::PrototypeStore& store,
                           VocabularyCache& cache, const Limits& limits,
                           std::vector<store::Ed25519PublicKey> trusted_keys)
    : engine_(engine),
      store_(store),
      cache_(cache),
      limits_(limits),
      trusted_keys_(std::move(trusted_keys)) {}

absl::Status PackImporter::Validate(const v1::ImportConfig& config) const {
  if (!config.vocabulary().empty()) {
    OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(config.vocabulary()));
  }
  if (!v1::ConflictPolicy_IsValid(config.conflict_policy())) {
    return FieldError("config.conflict_policy",
                      absl::StrCat("config.conflict_policy is ",
                                   static_cast<int>(config.conflict_policy()),
                                   "; 0 to 3 are allowed"),
                      reasons::kInvalidField);
  }
  if (config.trusted_keys_size() > kMaxTrustedKeys) {
    return FieldError(
        "config.trusted_keys",
        absl::StrCat("config.trusted_keys has ", config.trusted_keys_size(),
                     " entries; up to ", kMaxTrustedKeys, " are allowed"),
        reasons::kInvalidField);
  }
  for (const std::string& key : config.trusted_keys()) {
    if (key.size() != kKeyBytes) {
      return FieldError(
          "config.trusted_keys",
          absl::StrCat("a key of config.trusted_keys has ", key.size(),
                       " bytes; an Ed25519 key has ", kKeyBytes),
          reasons::kInvalidField);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ImportVocabularyResponse> PackImporter::Import(
    const v1::ImportConfig& config, const PackSpool& pack,
    const CallControl& control) {
  Work work{.config = config,
            .spool = pack,
            .control = control,
            .vocabulary = {},
            .pack = {},
            .classes = {},
            .reencode = {},
            .outcomes = {}};
  OVDIFF_RETURN_IF_ERROR(PackError(Verify(work)));
  OVDIFF_RETURN_IF_ERROR(CheckSignature(work));
  OVDIFF_RETURN_IF_ERROR(ChooseSets(work));
  OVDIFF_RETURN_IF_ERROR(CheckNames(work));
  OVDIFF_ASSIGN_OR_RETURN(auto head, Plan(work));
  if (config.validate_only()) {
    return Describe(work, head.get());
  }
  OVDIFF_RETURN_IF_ERROR(store_.Health());
  OVDIFF_RETURN_IF_ERROR(StoreSets(work));
  // Again: encoding may have taken minutes.
  OVDIFF_RETURN_IF_ERROR(Plan(work).status());
  OVDIFF_ASSIGN_OR_RETURN(
      store::Vocabulary published,
      store_.Publish(work.vocabulary,
                     store::ClassesToPublish(work.classes, work.outcomes)));
  v1::ImportVocabularyResponse response = Describe(work, &published);
  cache_.HeadChanged(std::move(published));
  return response;
}

absl::Status PackImporter::Verify(Work& work) const {
  OVDIFF_ASSIGN_OR_RETURN(
      work.pack,
      store::VerifyPack(work.spool.Source(), [&](const store::PackItem& item) {
        const absl::Status status = work.control.Check();
        return status.ok() ? CheckRecord(item) : status;
      }));
  work.vocabulary.name = work.config.vocabulary().empty()
                             ? work.pack.manifest.vocabulary
                             : work.config.vocabulary();
  return ValidateVocabularyName(work.vocabulary.name);
}

// Fingerprints are a claim. What can be tried is tried: that the engine can use
// the vectors, and that the pictures are pictures.
absl::Status PackImporter::CheckRecord(const store::PackItem& item) const {
  if (const auto* set = std::get_if<store::PrototypeRecord>(&item.record)) {
    if (!cache_.IsKnownEncoder(set->encoder_fingerprint)) {
      return absl::OkStatus();
    }
    const absl::Status status = engine_.LoadPrototypes(set->set).status();
    return absl::IsFailedPrecondition(status)
               ? PreconditionError(
                     set->prompt,
                     absl::StrCat("the set of ", Quoted(set->prompt),
                                  " names this server's encoders, but: ",
                                  status.message()),
                     reasons::kPackForeign)
               : status;
  }
  const auto& support = std::get<store::SupportRecord>(item.record);
  return WithPrefix(
      WithField(DecodeClassPictures(support, limits_).status(), "data",
                reasons::kPackDamaged),
      absl::StrCat("pictures of ", Quoted(support.prompt), " in the pack"));
}

absl::Status PackImporter::CheckSignature(const Work& work) const {
  const auto& signer = work.pack.signed_by;
  const auto& wanted = work.config.trusted_keys();
  const bool is_wanted =
      wanted.empty() ||
      (signer.has_value() &&
       std::any_of(wanted.begin(), wanted.end(), [&](const std::string& key) {
         return IsOneOf(*signer, key);
       }));
  const bool is_trusted = trusted_keys_.empty() ||
                          (signer.has_value() &&
                           std::find(trusted_keys_.begin(), trusted_keys_.end(),
                                     *signer) != trusted_keys_.end());
  if (is_wanted && is_trusted) {
    return absl::OkStatus();
  }
  return PreconditionError(
      "pack",
      absl::StrCat(signer.has_value()
                       ? "the pack is signed by a key that is not trusted"
                       : "the pack is not signed",
                   is_wanted ? "; this server imports packs of its trusted "
                               "keys only"
                             : "; the call requires a signature by one of its "
                               "keys"),
      reasons::kPackUntrusted);
}

absl::Status PackImporter::ChooseSets(Work& work) const {
  const Sha256Digest encoder =
      engine_.EncoderFingerprint(engine_.info().prototype);
  for (size_t i = 0; i < work.pack.manifest.classes.size(); ++i) {
    const store::PackedClass& entry = work.pack.manifest.classes[i];
    const auto& made_by = work.pack.fingerprints[i];
    const bool is_foreign = !cache_.IsKnownEncoder(made_by.encoder);
    if (is_foreign && !(work.config.reencode() && entry.has_pictures)) {
      return PreconditionError(
          entry.name,
          absl::StrCat("class ", Quoted(entry.name),
                       " was built by other encoders than this server's (",
                       ToHex(made_by.encoder).substr(0, 12), "); ",
                       entry.has_pictures
                           ? "ask for its pictures to be encoded again "
                             "(reencode)"
                           : "the pack has no pictures of it to encode again: "
                             "export it with pictures"),
          reasons::kPackForeign);
    }
    store::NewClass wanted;
    wanted.name = entry.name;
    wanted.prompt = entry.prompt;
    wanted.kind = entry.kind;
    wanted.support_key = entry.support_key;
    wanted.prototype_key =
        is_foreign
            ? store::PrototypeKey(entry.prompt, made_by.generator, encoder)
            : entry.prototype_key;
    work.classes.push_back(std::move(wanted));
    work.reencode.push_back(is_foreign);
  }
  return absl::OkStatus();
}

absl::Status PackImporter::CheckNames(const Work& work) {
  google::protobuf::RepeatedPtrField<v1::ClassSpec> specs;
  for (const store::NewClass& wanted : work.classes) {
    auto spec = ParsePromptSpec(wanted.prompt);
    OVDIFF_RETURN_IF_ERROR(
        WithPrefix(WithField(spec.status(), "data", reasons::kPackDamaged),
                   absl::StrCat("class ", Quoted(wanted.name))));
    spec->set_name(wanted.name);
    spec->set_kind(FromKind(wanted.kind));
    *specs.Add() = *std::move(spec);
  }
  Limits limits = limits_;
  limits.max_classes_per_request = limits.max_classes_per_vocabulary;
  OVDIFF_RETURN_IF_ERROR(ValidateClasses(specs, limits));
  OVDIFF_ASSIGN_OR_RETURN(const auto head, Head(work.vocabulary));
  return head == nullptr ? absl::OkStatus()
                         : ValidateVocabularyRoom(specs, *head, limits);
}

absl::StatusOr<VocabularyCache::VocabularyPtr> PackImporter::Head(
    const store::VocabularyId& id) {
  auto head = cache_.GetVocabulary(id.name, 0);
  if (absl::IsNotFound(head.status())) {
    return VocabularyCache::VocabularyPtr();
  }
  return head;
}

absl::StatusOr<VocabularyCache::VocabularyPtr> PackImporter::Plan(Work& work) {
  OVDIFF_ASSIGN_OR_RETURN(const auto head, Head(work.vocabulary));
  auto outcomes = store::PlanImport(work.classes, head.get(),
                                    ToPolicy(work.config.conflict_policy()));
  if (absl::IsAlreadyExists(outcomes.status())) {
    return ResourceError(absl::StatusCode::kAlreadyExists,
                         "ovdiff.v1.Vocabulary", work.vocabulary.name,
                         outcomes.status().message(), reasons::kClassConflict);
  }
  OVDIFF_RETURN_IF_ERROR(outcomes.status());
  work.outcomes = *std::move(outcomes);
  // A vocabulary that is made by an import has the pack's labels and colours.
  for (size_t i = 0; i < work.classes.size(); ++i) {
    work.classes[i].label =
        head == nullptr ? work.pack.manifest.classes[i].label : 0;
  }
  return head;
}

absl::Status PackImporter::StoreSets(const Work& work) {
  std::set<store::ContentKey> wanted;     // Records of the pack.
  std::set<store::ContentKey> to_encode;  // Support sets of it.
  for (size_t i = 0; i < work.classes.size(); ++i) {
    const store::PackedClass& entry = work.pack.manifest.classes[i];
    if (work.outcomes[i] == store::ImportOutcome::kSkipped) {
      continue;
    }
    wanted.insert(entry.support_key);
    if (work.reencode[i]) {
      to_encode.insert(entry.support_key);
    } else {
      wanted.insert(entry.prototype_key);
    }
  }
  OVDIFF_ASSIGN_OR_RETURN(const auto reader,
                          store::PackReader::Open(work.spool.Source()));
  while (true) {
    OVDIFF_RETURN_IF_ERROR(work.control.Check());
    OVDIFF_ASSIGN_OR_RETURN(const auto item, reader->Next());
    if (!item.has_value()) {
      return absl::OkStatus();
    }
    OVDIFF_RETURN_IF_ERROR(StoreItem(work, *item, wanted, to_encode));
  }
}

absl::Status PackImporter::StoreItem(
    const Work& work, const store::PackItem& item,
    const std::set<store::ContentKey>& wanted,
    const std::set<store::ContentKey>& to_encode) {
  if (wanted.count(item.key) == 0) {
    return absl::OkStatus();
  }
  if (const auto* set = std::get_if<store::PrototypeRecord>(&item.record)) {
    return store_.PutPrototypeSet(item.key, *set);
  }
  const auto& pictures = std::get<store::SupportRecord>(item.record);
  OVDIFF_RETURN_IF_ERROR(store_.PutSupportSet(item.key, pictures));
  if (to_encode.count(item.key) == 0) {
    return absl::OkStatus();
  }
  return WithPrefix(
      Encode(work, pictures),
      absl::StrCat("encoding the pictures of ", Quoted(pictures.prompt)));
}

absl::Status PackImporter::Encode(const Work& work,
                                  const store::SupportRecord& pictures) {
  const PrototypeOptions& options = engine_.info().prototype;
  store::PrototypeRecord record;
  record.prompt = pictures.prompt;
  record.generator_fingerprint = pictures.generator_fingerprint;
  record.encoder_fingerprint = engine_.EncoderFingerprint(options);
  const store::ContentKey key = store::PrototypeKey(
      record.prompt, record.generator_fingerprint, record.encoder_fingerprint);
  if (store_.GetPrototypeSet(key).ok()) {
    return absl::OkStatus();  // By an earlier try, or another vocabulary.
  }
  OVDIFF_ASSIGN_OR_RETURN(const ClassPictures decoded,
                          DecodeClassPictures(pictures, limits_));
  OVDIFF_ASSIGN_OR_RETURN(
      record.set, BuildClassPrototypes(engine_, decoded, options, work.control,
                                       [](const engine::BuildProgress&) {}));
  record.create_time = absl::Now();
  return store_.PutPrototypeSet(key, record);
}

v1::ImportVocabularyResponse PackImporter::Describe(
    const Work& work, const store::Vocabulary* head) const {
  const store::PackManifest& manifest = work.pack.manifest;
  v1::ImportVocabularyResponse response;
  response.set_vocabulary(work.vocabulary.name);
  response.set_version(head == nullptr ? 0 : head->version);
  absl::flat_hash_map<absl::string_view, int> labels;
  if (head != nullptr) {
    for (const store::ClassEntry& entry : head->classes) {
      labels[entry.name] = entry.label;
    }
  }
  for (size_t i = 0; i < work.classes.size(); ++i) {
    v1::ImportedClass& row = *response.add_classes();
    row.set_name(work.classes[i].name);
    row.set_outcome(FromOutcome(work.outcomes[i]));
    row.set_prototype_key(ToHex(work.classes[i].prototype_key));
    row.set_reencoded(work.reencode[i] &&
                      work.outcomes[i] != store::ImportOutcome::kSkipped);
    row.set_label(labels[row.name()]);
  }
  response.set_pack_digest(ToHex(work.pack.digest));
  response.set_pack_bytes(static_cast<int64_t>(work.pack.num_bytes));
  response.set_source_vocabulary(manifest.vocabulary);
  response.set_source_version(manifest.version);
  response.set_bundle(manifest.bundle);
  response.set_bundle_license(manifest.bundle_license);
  response.set_license(manifest.license);
  if (work.pack.signed_by.has_value()) {
    response.set_signed_by(work.pack.signed_by->data(), kKeyBytes);
  }
  return response;
}

}  // namespace ovdiff::server
