#include "store/pack/pack_exporter.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "store/float16.h"
#include "store/record_codec.h"
#include "store/status_context.h"

namespace ovdiff::store {
namespace {

bool SurvivesFloat16(const std::vector<float>& values) {
  for (const float value : values) {
    if (FromFloat16(ToFloat16(value)) != value) {
      return false;
    }
  }
  return true;
}

// Half the bytes where nothing is lost: sets that were stored as binary16.
PayloadType ExactPayload(const PrototypeSet& set) {
  for (const FeatureSpacePrototypes& space : set.spaces) {
    if (!SurvivesFloat16(space.foreground.values) ||
        !SurvivesFloat16(space.background.values)) {
      return PayloadType::kFloat32;
    }
  }
  return PayloadType::kFloat16;
}

absl::Status ReadError(const PackedClass& entry, const absl::Status& status) {
  const std::string context = absl::StrCat("class '", entry.name, "'");
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError(absl::StrCat(
        context, ": ", status.message(), "; add the class again, then export"));
  }
  return WithContext(context, status);
}

}  // namespace

PackExporter::PackExporter(const PrototypeStore& store,
                           const Vocabulary& vocabulary,
                           const ExportOptions& options)
    : store_(store), options_(options) {
  manifest_.vocabulary = vocabulary.id.name;
  manifest_.version = vocabulary.version;
  manifest_.create_time = vocabulary.create_time;
  manifest_.program = options.program;
  manifest_.bundle = options.bundle;
  manifest_.bundle_license = options.bundle_license;
  manifest_.license = options.license;
  for (const ClassEntry& entry : vocabulary.classes) {
    manifest_.classes.push_back({.name = entry.name,
                                 .prompt = entry.prompt,
                                 .kind = entry.kind,
                                 .label = entry.label,
                                 .prototype_key = entry.prototype_key,
                                 .support_key = entry.support_key,
                                 .has_pictures = false});
  }
}

absl::StatusOr<std::string> PackExporter::Next() {
  if (is_over_) {
    return std::string();
  }
  if (!has_begun_) {
    has_begun_ = true;
    return Begin();
  }
  if (next_step_ == steps_.size()) {
    is_over_ = true;
    return End();
  }
  auto record = ReadRecord(steps_[next_step_++]);
  if (!record.ok()) {
    is_over_ = true;
    return record;
  }
  return Hashed(*std::move(record));
}

absl::StatusOr<std::string> PackExporter::Begin() {
  absl::flat_hash_set<ContentKey> sets;
  absl::flat_hash_set<ContentKey> supports;
  for (size_t i = 0; i < manifest_.classes.size(); ++i) {
    PackedClass& entry = manifest_.classes[i];
    if (options_.pictures) {
      OVDIFF_ASSIGN_OR_RETURN(entry.has_pictures,
                              store_.HasSupportSet(entry.support_key));
    }
    if (sets.insert(entry.prototype_key).second) {
      steps_.push_back({.class_index = i, .is_support = false});
    }
    if (entry.has_pictures && supports.insert(entry.support_key).second) {
      steps_.push_back({.class_index = i, .is_support = true});
    }
  }
  return Hashed(EncodePackPreamble() + EncodePackManifest(manifest_));
}

absl::StatusOr<std::string> PackExporter::ReadRecord(const Step& step) const {
  const PackedClass& entry = manifest_.classes[step.class_index];
  if (step.is_support) {
    const auto record = store_.GetSupportSet(entry.support_key);
    if (!record.ok()) {
      return ReadError(entry, record.status());
    }
    return EncodeSupportRecord(entry.support_key, *record,
                               PayloadType::kFloat32);
  }
  const auto record = store_.GetPrototypeSet(entry.prototype_key);
  if (!record.ok()) {
    return ReadError(entry, record.status());
  }
  return EncodePrototypeRecord(entry.prototype_key, *record,
                               ExactPayload(record->set));
}

std::string PackExporter::End() {
  // The manifest is a record too.
  return EncodePackEnd({.num_records = 1 + steps_.size(),
                        .num_bytes = num_bytes_,
                        .digest = hash_.Finish()});
}

std::string PackExporter::Hashed(std::string bytes) {
  hash_.Update(bytes);
  num_bytes_ += bytes.size();
  return bytes;
}

}  // namespace ovdiff::store
