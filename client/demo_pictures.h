// The pictures that the demo's page shows, and what summary.json says of each.
#ifndef OVDIFF_CLIENT_DEMO_PICTURES_H_
#define OVDIFF_CLIENT_DEMO_PICTURES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/demo_scenes.h"
#include "client/json_output.h"
#include "client/overlay.h"
#include "opencv2/core.hpp"
#include "ovdiff/v1/segmentation_service.pb.h"

namespace ovdiff::client {

// The server's answer to a scene.
struct DemoAnswer {
  v1::SegmentResponse response;
  cv::Mat labels;  // CV_16UC1, as the server gave them.
};

// "#rrggbb".
std::string HexColour(int colour);

// Thread-compatible. Paths it returns are relative to the folder.
class DemoPictures {
 public:
  // FOLDER/pictures must be there.
  explicit DemoPictures(std::string folder) : folder_(std::move(folder)) {}

  // Writes pictures/NAME.png.
  absl::StatusOr<std::string> WriteOverlay(
      const std::string& name, const DemoScene& scene, const cv::Mat& labels,
      const std::vector<OverlayClass>& classes, bool legend) const;

  // Writes the scene's picture, answer, overlay with legend and label PNG,
  // under its file's stem and `suffix`; returns its entry of summary.json.
  absl::StatusOr<Json> Scene(const DemoScene& scene, const DemoAnswer& answer,
                             const std::string& suffix) const;

 private:
  absl::StatusOr<std::string> Write(const std::string& name,
                                    const cv::Mat& picture) const;

  std::string folder_;
};

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_DEMO_PICTURES_H_
