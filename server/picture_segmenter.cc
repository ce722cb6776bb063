#include "server/picture_segmenter.h"

#include <algorithm>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/palette.h"
#include "server/request_options.h"
#include "server/similar_names.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

absl::Status ClassNotFound(const std::string& name,
                           const store::Vocabulary& vocabulary) {
  std::string message = absl::StrCat(
      "class ", Quoted(name), " is not in version ", vocabulary.version,
      " of vocabulary ", Quoted(vocabulary.id.name));
  const std::vector<std::string> similar =
      SimilarNames(name, vocabulary.classes);
  if (!similar.empty()) {
    absl::StrAppend(&message, "; did you mean \"",
                    absl::StrJoin(similar, "\" or \""), "\"?");
  }
  return ResourceError(absl::StatusCode::kNotFound, "ovdiff.v1.Class", name,
                       message, reasons::kClassNotFound);
}

// All entries, or those that `names` lists, each once, by label.
absl::StatusOr<std::vector<const store::ClassEntry*>> SelectEntries(
    const store::Vocabulary& vocabulary,
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<const store::ClassEntry*> entries;
  if (names.empty()) {
    for (const store::ClassEntry& entry : vocabulary.classes) {
      entries.push_back(&entry);
    }
    return entries;
  }
  absl::flat_hash_map<absl::string_view, const store::ClassEntry*> by_name;
  for (const store::ClassEntry& entry : vocabulary.classes) {
    by_name.emplace(entry.name, &entry);
  }
  std::set<uint16_t> labels;
  for (const std::string& name : names) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) {
      return ClassNotFound(name, vocabulary);
    }
    if (!labels.insert(it->second->label).second) {
      return FieldError("classes",
                        absl::StrCat("classes names ", Quoted(name), " twice"),
                        reasons::kDuplicateClass);
    }
    entries.push_back(it->second);
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return a->label < b->label; });
  return entries;
}

v1::SegmentedClass ToRow(const store::ClassEntry& entry) {
  v1::SegmentedClass row;
  row.set_name(entry.name);
  row.set_label(entry.label);
  row.set_colour(static_cast<int32_t>(LabelColour(entry.label)));
  return row;
}

// The fingerprint that all classes share, in hexadecimal, else empty.
std::string Common(const std::vector<LoadedClass>& loaded,
                   Sha256Digest LoadedClass::*fingerprint) {
  const bool is_common =
      std::all_of(loaded.begin(), loaded.end(), [&](const LoadedClass& one) {
        return one.*fingerprint == loaded[0].*fingerprint;
      });
  return is_common && !loaded.empty() ? ToHex(loaded[0].*fingerprint) : "";
}

}  // namespace

PictureSegmenter::PictureSegmenter(engine::Engine& engine,
                                   VocabularyCache& cache, Metrics& metrics,
                                   const Limits& limits)
    : engine_(engine), cache_(cache), metrics_(metrics), limits_(limits) {}

absl::StatusOr<std::shared_ptr<const SegmentPlan>> PictureSegmenter::Plan(
    const v1::SegmentRequest& request) const {
  return MakePlan({request.vocabulary(), request.version(), request.classes(),
                   request.profile(), request.options(),
                   request.label_map_format()});
}

absl::StatusOr<std::shared_ptr<const SegmentPlan>> PictureSegmenter::Plan(
    const v1::StreamConfig& config) const {
  return MakePlan({config.vocabulary(), config.version(), config.classes(),
                   config.profile(), config.options(),
                   config.label_map_format()});
}

absl::StatusOr<std::shared_ptr<const SegmentPlan>> PictureSegmenter::Plan(
    const v1::ExplainRequest& request) const {
  return MakePlan({request.vocabulary(), request.version(), request.classes(),
                   request.profile(), request.options(),
                   v1::LABEL_MAP_FORMAT_UNSPECIFIED});
}

absl::StatusOr<const store::ClassEntry*> PictureSegmenter::FindClass(
    const SegmentPlan& plan, const std::string& name) const {
  OVDIFF_RETURN_IF_ERROR(ValidateClassName(name, "class_name", limits_));
  for (const store::ClassEntry* entry : plan.entries) {
    if (entry->name == name) {
      return entry;
    }
  }
  for (const store::ClassEntry& entry : plan.vocabulary->classes) {
    if (entry.name == name) {
      return FieldError("class_name",
                        absl::StrCat("class_name ", Quoted(name),
                                     " is not among classes; name it there "
                                     "too, or leave classes empty"),
                        reasons::kInvalidField);
    }
  }
  return ClassNotFound(name, *plan.vocabulary);
}

absl::StatusOr<std::shared_ptr<const SegmentPlan>> PictureSegmenter::MakePlan(
    const PlanRequest& request) const {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(request.vocabulary));
  OVDIFF_RETURN_IF_ERROR(ValidateVersion(request.version));
  OVDIFF_RETURN_IF_ERROR(ValidateLabelMapFormat(request.label_map_format));
  for (int i = 0; i < request.classes.size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(ValidateClassName(
        request.classes[i], absl::StrCat("classes[", i, "]"), limits_));
  }
  auto plan = std::make_shared<SegmentPlan>();
  OVDIFF_ASSIGN_OR_RETURN(
      plan->options,
      ToSegmentOptions(request.profile, request.options, engine_));
  plan->label_map_format = request.label_map_format;
  OVDIFF_ASSIGN_OR_RETURN(
      plan->vocabulary,
      cache_.GetVocabulary(request.vocabulary, request.version));
  OVDIFF_ASSIGN_OR_RETURN(plan->entries,
                          SelectEntries(*plan->vocabulary, request.classes));
  if (plan->entries.empty()) {
    return PreconditionError(
        request.vocabulary,
        absl::StrCat("version ", plan->vocabulary->version, " of vocabulary ",
                     Quoted(request.vocabulary),
                     " has no classes; add some first"),
        reasons::kVocabularyEmpty);
  }
  return std::shared_ptr<const SegmentPlan>(std::move(plan));
}

absl::StatusOr<SegmentInput> PictureSegmenter::Read(
    const SegmentPlan& plan, const v1::Image& image,
    const CallControl& control) const {
  OVDIFF_RETURN_IF_ERROR(control.Check());
  SegmentInput input;
  input.start = absl::Now();
  OVDIFF_ASSIGN_OR_RETURN(input.pixels, ToImage(image, limits_));
  input.decode = absl::Now() - input.start;
  OVDIFF_ASSIGN_OR_RETURN(input.loaded, cache_.Load(plan.entries, control));
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const store::ClassEntry& entry = *plan.entries[i];
    input.classes.push_back(
        {entry.label, entry.name, entry.kind, input.loaded[i].prototypes});
  }
  return input;
}

v1::SegmentTiming PictureSegmenter::Timing(const SegmentInput& input,
                                           const engine::StageTimings& stages,
                                           absl::Time arrival) const {
  v1::SegmentTiming timing;
  timing.set_decode_seconds(absl::ToDoubleSeconds(input.decode));
  timing.set_queue_seconds(
      absl::ToDoubleSeconds(input.start - arrival + stages.queue));
  timing.set_prefilter_seconds(absl::ToDoubleSeconds(stages.prefilter));
  timing.set_features_seconds(absl::ToDoubleSeconds(stages.features));
  timing.set_matching_seconds(absl::ToDoubleSeconds(stages.matching));
  timing.set_total_seconds(absl::ToDoubleSeconds(absl::Now() - arrival));
  metrics_.QueueWait("device", stages.queue);
  metrics_.SegmentStage("decode", input.decode);
  metrics_.SegmentStage("prefilter", stages.prefilter);
  metrics_.SegmentStage("features", stages.features);
  metrics_.SegmentStage("matching", stages.matching);
  return timing;
}

absl::StatusOr<v1::SegmentResponse> PictureSegmenter::Run(
    const SegmentPlan& plan, const v1::Image& image, absl::Time arrival,
    const CallControl& control) const {
  OVDIFF_ASSIGN_OR_RETURN(const SegmentInput input, Read(plan, image, control));
  OVDIFF_ASSIGN_OR_RETURN(
      const engine::Segmentation segmentation,
      engine_.Segment(input.pixels, input.classes, plan.options, control));
  OVDIFF_ASSIGN_OR_RETURN(v1::SegmentResponse response,
                          ToResponse(plan, input.loaded, segmentation));
  *response.mutable_timing() = Timing(input, segmentation.timings, arrival);
  return response;
}

absl::StatusOr<v1::SegmentResponse> PictureSegmenter::ToResponse(
    const SegmentPlan& plan, const std::vector<LoadedClass>& loaded,
    const engine::Segmentation& segmentation) const {
  v1::SegmentResponse response;
  OVDIFF_ASSIGN_OR_RETURN(
      *response.mutable_label_map(),
      FromLabelMap(segmentation.labels, plan.label_map_format));
  const double pixels = static_cast<double>(segmentation.labels.data.size());
  std::vector<v1::SegmentedClass> rows;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const engine::ClassResult& result = segmentation.classes[i];
    v1::SegmentedClass& row = rows.emplace_back(ToRow(*plan.entries[i]));
    row.set_pixel_count(result.pixel_count);
    row.set_area(static_cast<double>(result.pixel_count) / pixels);
    row.set_score(result.mean_score);
    row.set_max_score(result.max_score);
    row.set_kept(result.kept);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.pixel_count() > b.pixel_count();
  });
  for (v1::SegmentedClass& row : rows) {
    *response.add_classes() = std::move(row);
  }
  response.set_vocabulary(plan.vocabulary->id.name);
  response.set_version(plan.vocabulary->version);
  response.mutable_fingerprints()->set_generator(
      Common(loaded, &LoadedClass::generator_fingerprint));
  response.mutable_fingerprints()->set_encoder(
      Common(loaded, &LoadedClass::encoder_fingerprint));
  response.set_num_windows(segmentation.num_windows);
  return response;
}

std::vector<v1::SegmentedClass> PictureSegmenter::ClassTable(
    const SegmentPlan& plan) {
  std::vector<v1::SegmentedClass> table;
  for (const store::ClassEntry* entry : plan.entries) {
    table.push_back(ToRow(*entry));
  }
  return table;
}

}  // namespace ovdiff::server
