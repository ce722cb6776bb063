#include "server/convert.h"

#include <limits>

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

absl::Status OptionError(absl::string_view option, int64_t value, int64_t min,
                         int64_t max) {
  const std::string field = absl::StrCat("options.", option);
  return FieldError(field,
                    absl::StrCat(field, " is ", value, "; ", min, " to ", max,
                                 " are allowed"),
                    reasons::kInvalidOption);
}

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

void ReadWindows(const v1::SegmentOptions& options, WindowOptions* out) {
  if (options.has_short_side()) {
    out->short_side = options.short_side();
  }
  if (options.window_sizes_size() > 0) {
    out->sizes.assign(options.window_sizes().begin(),
                      options.window_sizes().end());
  }
  if (options.has_window_stride()) {
    out->stride = options.window_stride();
  }
  if (options.has_whole_picture()) {
    out->whole_picture = options.whole_picture();
  }
}

// Stuff filter and PAMR.
void ReadRefinements(const v1::SegmentOptions& options, SegmentOptions* out) {
  if (options.has_use_stuff_filter()) {
    out->stuff_filter.enabled = options.use_stuff_filter();
  }
  if (options.has_stuff_filter_threshold()) {
    out->stuff_filter.threshold = options.stuff_filter_threshold();
  }
  if (options.has_use_pamr()) {
    out->pamr.enabled = options.use_pamr();
  }
  if (options.has_pamr_iterations()) {
    out->pamr.iterations = options.pamr_iterations();
  }
  if (options.pamr_dilations_size() > 0) {
    out->pamr.dilations.assign(options.pamr_dilations().begin(),
                               options.pamr_dilations().end());
  }
}

}  // namespace

ResolvedBuildOptions ToBuildOptions(const v1::BuildOptions& options,
                                    const engine::EngineInfo& defaults) {
  ResolvedBuildOptions out{defaults.generation, defaults.prototype};
  if (options.has_num_pictures()) {
    out.generation.num_pictures = options.num_pictures();
  }
  if (options.has_num_steps()) {
    out.generation.num_steps = options.num_steps();
  }
  if (options.has_guidance_scale()) {
    out.generation.guidance_scale = options.guidance_scale();
  }
  if (options.has_seed()) {
    out.generation.seed = options.seed();
  }
  if (options.has_prompt_template()) {
    out.generation.prompt_template = options.prompt_template();
  }
  if (options.has_negative_prompt()) {
    out.generation.negative_prompt = options.negative_prompt();
  }
  if (options.has_num_parts()) {
    out.prototype.num_parts = options.num_parts();
  }
  return out;
}

v1::BuildOptions FromBuildOptions(const ResolvedBuildOptions& options) {
  v1::BuildOptions out;
  out.set_num_pictures(options.generation.num_pictures);
  out.set_num_steps(options.generation.num_steps);
  out.set_guidance_scale(options.generation.guidance_scale);
  out.set_seed(options.generation.seed);
  out.set_prompt_template(options.generation.prompt_template);
  out.set_negative_prompt(options.generation.negative_prompt);
  out.set_num_parts(options.prototype.num_parts);
  return out;
}

absl::Status ValidateBuildOptions(const ResolvedBuildOptions& options,
                                  const engine::Engine& engine,
                                  const Limits& limits) {
  const GenerationOptions& generation = options.generation;
  if (generation.num_pictures < 1 ||
      generation.num_pictures > limits.max_pictures) {
    return OptionError("num_pictures", generation.num_pictures, 1,
                       limits.max_pictures);
  }
  if (generation.num_steps < 1 || generation.num_steps > limits.max_steps) {
    return OptionError("num_steps", generation.num_steps, 1, limits.max_steps);
  }
  OVDIFF_RETURN_IF_ERROR(WithField(engine.Validate(generation), "options",
                                   reasons::kInvalidOption));
  return WithField(engine.Validate(options.prototype), "options",
                   reasons::kInvalidOption);
}

absl::StatusOr<SegmentOptions> ToSegmentOptions(
    const v1::SegmentOptions& options, const engine::Engine& engine) {
  SegmentOptions out = engine.info().segment;
  if (options.spaces_size() > 0) {
    out.spaces.assign(options.spaces().begin(), options.spaces().end());
  }
  if (options.has_use_background()) {
    out.use_background = options.use_background();
  }
  if (options.has_background_threshold()) {
    out.background_threshold = options.background_threshold();
  }
  if (options.has_use_prefilter()) {
    out.prefilter.enabled = options.use_prefilter();
  }
  if (options.has_prefilter_max_classes()) {
    out.prefilter.max_classes = options.prefilter_max_classes();
  }
  ReadWindows(options, &out.windows);
  if (options.has_use_class_level()) {
    out.use_class_level = options.use_class_level();
  }
  if (options.has_use_instance_level()) {
    out.use_instance_level = options.use_instance_level();
  }
  if (options.has_use_part_level()) {
    out.use_part_level = options.use_part_level();
  }
  if (options.has_noise_seed()) {
    out.noise_seed = options.noise_seed();
  }
  ReadRefinements(options, &out);
  OVDIFF_RETURN_IF_ERROR(
      WithField(engine.Validate(out), "options", reasons::kInvalidOption));
  return out;
}

v1::SegmentOptions FromSegmentOptions(const SegmentOptions& options,
                                      const engine::EngineInfo& info) {
  v1::SegmentOptions out;
  for (const std::string& space :
       options.spaces.empty() ? info.spaces : options.spaces) {
    out.add_spaces(space);
  }
  out.set_use_background(options.use_background);
  out.set_background_threshold(options.background_threshold);
  out.set_use_prefilter(options.prefilter.enabled);
  out.set_prefilter_max_classes(options.prefilter.max_classes);
  const WindowOptions& windows = options.windows;
  out.set_short_side(windows.short_side > 0 ? windows.short_side
                                            : info.windows.short_side);
  for (const int size :
       windows.sizes.empty() ? info.windows.sizes : windows.sizes) {
    out.add_window_sizes(size);
  }
  out.set_window_stride(windows.stride > 0 ? windows.stride
                                           : info.windows.stride);
  out.set_whole_picture(windows.whole_picture);
  out.set_use_class_level(options.use_class_level);
  out.set_use_instance_level(options.use_instance_level);
  out.set_use_part_level(options.use_part_level);
  out.set_noise_seed(options.noise_seed);
  out.set_use_stuff_filter(options.stuff_filter.enabled);
  out.set_stuff_filter_threshold(options.stuff_filter.threshold);
  out.set_use_pamr(options.pamr.enabled);
  out.set_pamr_iterations(options.pamr.iterations);
  out.mutable_pamr_dilations()->Assign(options.pamr.dilations.begin(),
                                       options.pamr.dilations.end());
  return out;
}

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
