// How well label maps agree with known ones.
#ifndef OVDIFF_CLIENT_EVALUATION_H_
#define OVDIFF_CLIENT_EVALUATION_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "opencv2/core.hpp"

namespace ovdiff::client {

// Intersections and unions summed over all pictures, as the segmentation
// benchmarks do (not averaged per picture). Class 0 is background.
class SegmentationScore {
 public:
  // Both CV_16UC1 of one size, values are class indices of the truth.
  absl::Status Add(const cv::Mat& truth, const cv::Mat& answer);

  // Intersection over union of a class; NaN where it is in neither.
  double Iou(int class_index) const;
  // Mean over the classes that occur in a truth or an answer, background
  // included; NaN without any pixel.
  double MeanIou() const;
  // All classes but background taken as one.
  double ForegroundIou() const;
  // Classes that occur in a truth or an answer.
  std::vector<int> Classes() const;

 private:
  struct Counts {
    int64_t intersection = 0;
    int64_t truth = 0;
    int64_t answer = 0;
  };
  static double Iou(const Counts& counts);

  std::map<int, Counts> classes_;
  Counts foreground_;
};

// Every label replaced by `indices`' value for it. INVALID_ARGUMENT for a label
// without one.
absl::Status MapLabels(const std::map<int, int>& indices, cv::Mat& labels);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_EVALUATION_H_
