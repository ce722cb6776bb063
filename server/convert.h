// Between API messages and the plain types of engine/ and store/.
#ifndef OVDIFF_SERVER_CONVERT_H_
#define OVDIFF_SERVER_CONVERT_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/engine.h"
#include "google/protobuf/timestamp.pb.h"
#include "ovdiff/v1/info_service.pb.h"
#include "ovdiff/v1/segmentation_service.pb.h"
#include "ovdiff/v1/types.pb.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// What the spec says; where it says nothing, KindOfText() of what is painted.
ClassKind KindOf(const v1::ClassSpec& spec);
v1::ClassKind FromKind(ClassKind kind);

// Decodes or checks and copies. kInvalidArgument.
absl::StatusOr<Image> ToImage(const v1::Image& image, const Limits& limits);
// Bytes of pixels or file in it.
int64_t ImageBytes(const v1::Image& image);

google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp);

v1::Class FromEntry(const store::ClassEntry& entry);
v1::Vocabulary FromSummary(const store::VocabularySummary& summary);
v1::Limits FromLimits(const Limits& limits);

// Writes `labels` in `format` (unspecified: PNG). kInternal.
absl::StatusOr<v1::LabelMap> FromLabelMap(const LabelMap& labels,
                                          v1::LabelMapFormat format);
// kInvalidArgument for a number that is no format.
absl::Status ValidateLabelMapFormat(v1::LabelMapFormat format);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CONVERT_H_
