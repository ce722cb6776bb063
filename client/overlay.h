// The picture that shows an answer to a person.
#ifndef OVDIFF_CLIENT_OVERLAY_H_
#define OVDIFF_CLIENT_OVERLAY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "opencv2/core.hpp"
#include "ovdiff/v1/segmentation_service.pb.h"

namespace ovdiff::client {

// One class of an overlay.
struct OverlayClass {
  std::string name;     // UTF-8.
  int label = 0;        // Value in the label map; not 0, which is background.
  uint32_t colour = 0;  // 0xRRGGBB.
};

struct OverlayOptions {
  // A panel beside the picture: swatch, name and share of the area.
  bool legend = true;
  // How much of the class colour is laid over its pixels, 0 to 1.
  double opacity = 0.55;
  // Smaller pictures are drawn larger by a whole factor, so that the longer
  // side has at least this many pixels and contours and text can be read.
  int min_side = 512;
};

// The classes of an answer's table.
std::vector<OverlayClass> OverlayClasses(const v1::SegmentResponse& response);

// The factor that DrawOverlay enlarges a picture by.
int EnlargementOf(cv::Size size, int min_side);

// `picture` (BGR, 8-bit) with `labels` (CV_16UC1, same size) drawn over it:
// colours blended in, outlines, and the legend at the right. Classes without a
// pixel are not in the legend. INVALID_ARGUMENT when the sizes differ or a
// label has no class.
absl::StatusOr<cv::Mat> DrawOverlay(const cv::Mat& picture,
                                    const cv::Mat& labels,
                                    const std::vector<OverlayClass>& classes,
                                    const OverlayOptions& options = {});

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_OVERLAY_H_
