// Files and pictures on the client's side. Codecs are OpenCV's.
#ifndef OVDIFF_CLIENT_IMAGE_IO_H_
#define OVDIFF_CLIENT_IMAGE_IO_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "opencv2/core.hpp"
#include "ovdiff/v1/segmentation_service.pb.h"

namespace ovdiff::client {

// A whole regular file. NOT_FOUND, or INVALID_ARGUMENT for an empty one, a
// folder, or more than `max_bytes`; messages name the path.
absl::StatusOr<std::string> ReadFileBytes(const std::string& path,
                                          int64_t max_bytes);

// Replaces the file in one step: a reader sees the old or the new one.
absl::Status WriteFileBytes(const std::string& path, absl::string_view bytes);

// An encoded picture as 8-bit BGR, seen as the server sees it: EXIF orientation
// applied, alpha laid on white.
absl::StatusOr<cv::Mat> DecodePicture(absl::string_view encoded);

// The picture's PNG.
absl::StatusOr<std::string> EncodePng(const cv::Mat& picture);

// The labels of an answer: [height, width], CV_16UC1. Takes all three formats.
absl::StatusOr<cv::Mat> DecodeLabelMap(const v1::LabelMap& label_map);

// A label PNG from a file (8-bit indexed or grey, or 16-bit grey) as CV_16UC1:
// palette indices, never palette colours.
absl::StatusOr<cv::Mat> DecodeLabelPng(absl::string_view png);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_IMAGE_IO_H_
