// Pictures and label maps on disk.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_PICTURE_FILES_H_
#define OVDIFF_BENCHMARKS_ACCURACY_PICTURE_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "benchmarks/accuracy/confusion.h"
#include "engine/base/image.h"
#include "engine/base/support_set.h"

namespace ovdiff::accuracy {

// kNotFound or kUnavailable, naming the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::Status WriteFile(const std::string& path, absl::string_view bytes);

// The picture of a file's bytes, decoded as the server does it.
absl::StatusOr<Image> DecodePicture(absl::string_view bytes);

// The values of an 8-bit grey PNG. kInvalidArgument for any other.
absl::StatusOr<TrueLabels> DecodeLabels(absl::string_view bytes);

// An attribution map as it is: a TIFF of one channel, float32.
absl::StatusOr<std::string> EncodeAttribution(const AttributionMap& map);

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_PICTURE_FILES_H_
