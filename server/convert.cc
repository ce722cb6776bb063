#include "server/convert.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "server/class_kinds.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/image_codec.h"
#include "server/label_map_codec.h"
#include "server/palette.h"

namespace ovdiff::server {
namespace {

absl::StatusOr<Image> ToRawImage(const v1::RawImage& raw,
                                 const Limits& limits) {
  OVDIFF_RETURN_IF_ERROR(CheckImageSize(raw.width(), raw.height(), limits));
  const int64_t expected = int64_t{3} * raw.width() * raw.height();
  if (static_cast<int64_t>(raw.rgb().size()) != expected) {
    return FieldError("image.raw.rgb",
                      absl::StrCat("image.raw.rgb has ", raw.rgb().size(),
                                   " bytes; ", raw.width(), "x", raw.height(),
                                   " RGB pixels need ", expected),
                      reasons::kInvalidImage);
  }
  Image image{.width = raw.width(), .height = raw.height(), .data = {}};
  image.data.assign(raw.rgb().begin(), raw.rgb().end());
  return image;
}

}  // namespace

ClassKind KindOf(const v1::ClassSpec& spec) {
  switch (spec.kind()) {
    case v1::CLASS_KIND_THING:
      return ClassKind::kThing;
    case v1::CLASS_KIND_STUFF:
      return ClassKind::kStuff;
    default:
      return KindOfText(spec.prompt().empty() ? spec.name() : spec.prompt());
  }
}

v1::ClassKind FromKind(ClassKind kind) {
  return kind == ClassKind::kStuff ? v1::CLASS_KIND_STUFF
                                   : v1::CLASS_KIND_THING;
}

absl::StatusOr<Image> ToImage(const v1::Image& image, const Limits& limits) {
  switch (image.content_case()) {
    case v1::Image::kEncoded:
      return DecodeImage(image.encoded(), limits);
    case v1::Image::kRaw:
      return ToRawImage(image.raw(), limits);
    case v1::Image::CONTENT_NOT_SET:
      break;
  }
  return FieldError("image",
                    "image is missing; set image.encoded (a picture file) or "
                    "image.raw (pixels)",
                    reasons::kInvalidImage);
}

int64_t ImageBytes(const v1::Image& image) {
  return static_cast<int64_t>(image.encoded().size() +
                              image.raw().rgb().size());
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      absl::ToUnixNanos(time));
}

absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

v1::Class FromEntry(const store::ClassEntry& entry) {
  v1::Class out;
  out.set_name(entry.name);
  out.set_kind(FromKind(entry.kind));
  out.set_prompt(entry.prompt);
  out.set_label(entry.label);
  out.set_colour(static_cast<int32_t>(LabelColour(entry.label)));
  out.set_prototype_key(ToHex(entry.prototype_key));
  *out.mutable_add_time() = ToTimestamp(entry.add_time);
  return out;
}

v1::Vocabulary FromSummary(const store::VocabularySummary& summary) {
  v1::Vocabulary out;
  out.set_name(summary.id.name);
  out.set_version(summary.version);
  out.set_num_classes(summary.num_classes);
  *out.mutable_create_time() = ToTimestamp(summary.create_time);
  return out;
}

v1::Limits FromLimits(const Limits& limits) {
  v1::Limits out;
  out.set_max_message_bytes(limits.max_message_bytes);
  out.set_max_image_pixels(limits.max_image_pixels);
  out.set_max_image_side(limits.max_image_side);
  out.set_max_class_name_characters(limits.max_class_name_characters);
  out.set_max_classes_per_request(limits.max_classes_per_request);
  out.set_max_classes_per_vocabulary(limits.max_classes_per_vocabulary);
  out.set_max_queued_segments(limits.max_queued_segments);
  out.set_max_queued_jobs(limits.max_queued_jobs);
  out.set_max_stream_in_flight(limits.max_stream_in_flight);
  out.set_max_pictures(limits.max_pictures);
  out.set_max_steps(limits.max_steps);
  out.set_max_segment_seconds(
      absl::ToDoubleSeconds(limits.max_segment_seconds));
  out.set_job_retention_seconds(absl::ToDoubleSeconds(limits.job_retention));
  out.set_max_streams(limits.max_streams);
  out.set_max_bytes_in_flight(limits.max_bytes_in_flight);
  out.set_max_pack_bytes(limits.max_pack_bytes);
  out.set_max_imports(limits.max_imports);
  out.set_max_exports(limits.max_exports);
  return out;
}

absl::StatusOr<v1::LabelMap> FromLabelMap(const LabelMap& labels,
                                          v1::LabelMapFormat format) {
  v1::LabelMap out;
  out.set_width(labels.width);
  out.set_height(labels.height);
  if (format == v1::LABEL_MAP_FORMAT_RAW_U16) {
    out.set_format(v1::LABEL_MAP_FORMAT_RAW_U16);
    out.set_data(EncodeLabelMapRaw(labels));
    return out;
  }
  out.set_format(v1::LABEL_MAP_FORMAT_PNG);
  OVDIFF_ASSIGN_OR_RETURN(*out.mutable_data(), EncodeLabelMapPng(labels));
  return out;
}

absl::Status ValidateLabelMapFormat(v1::LabelMapFormat format) {
  if (v1::LabelMapFormat_IsValid(format)) {
    return absl::OkStatus();
  }
  return FieldError(
      "label_map_format",
      absl::StrCat("label_map_format is ", static_cast<int>(format),
                   "; LABEL_MAP_FORMAT_PNG (1) and "
                   "LABEL_MAP_FORMAT_RAW_U16 (2) are allowed"),
      reasons::kInvalidField);
}

}  // namespace ovdiff::server
