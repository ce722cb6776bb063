#include "client/evaluation.h"

#include <limits>

#include "absl/strings/str_cat.h"

namespace ovdiff::client {

absl::Status SegmentationScore::Add(const cv::Mat& truth,
                                    const cv::Mat& answer) {
  if (truth.type() != CV_16UC1 || answer.type() != CV_16UC1 ||
      truth.size() != answer.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("truth has ", truth.cols, "x", truth.rows,
                     " pixels, the answer ", answer.cols, "x", answer.rows));
  }
  for (int y = 0; y < truth.rows; ++y) {
    for (int x = 0; x < truth.cols; ++x) {
      const int expected = truth.at<uint16_t>(y, x);
      const int found = answer.at<uint16_t>(y, x);
      ++classes_[expected].truth;
      ++classes_[found].answer;
      classes_[expected].intersection += expected == found;
      foreground_.truth += expected != 0;
      foreground_.answer += found != 0;
      foreground_.intersection += expected != 0 && found != 0;
    }
  }
  return absl::OkStatus();
}

double SegmentationScore::Iou(const Counts& counts) {
  const int64_t all = counts.truth + counts.answer - counts.intersection;
  return all == 0 ? std::numeric_limits<double>::quiet_NaN()
                  : static_cast<double>(counts.intersection) /
                        static_cast<double>(all);
}

double SegmentationScore::Iou(int class_index) const {
  const auto found = classes_.find(class_index);
  return Iou(found == classes_.end() ? Counts() : found->second);
}

double SegmentationScore::MeanIou() const {
  double sum = 0;
  for (const auto& [index, counts] : classes_) {
    sum += Iou(counts);
  }
  return classes_.empty() ? std::numeric_limits<double>::quiet_NaN()
                          : sum / static_cast<double>(classes_.size());
}

double SegmentationScore::ForegroundIou() const { return Iou(foreground_); }

std::vector<int> SegmentationScore::Classes() const {
  std::vector<int> indices;
  for (const auto& entry : classes_) {
    indices.push_back(entry.first);
  }
  return indices;
}

absl::Status MapLabels(const std::map<int, int>& indices, cv::Mat& labels) {
  for (auto it = labels.begin<uint16_t>(); it != labels.end<uint16_t>(); ++it) {
    const auto found = indices.find(*it);
    if (found == indices.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "label ", *it, " stands in the label map but in no class table"));
    }
    *it = static_cast<uint16_t>(found->second);
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::client
