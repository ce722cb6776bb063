// The scenes that the demo is about: pictures with known masks.
#ifndef OVDIFF_CLIENT_DEMO_SCENES_H_
#define OVDIFF_CLIENT_DEMO_SCENES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "opencv2/core.hpp"

namespace ovdiff::client {

struct DemoScene {
  std::string file;  // Within the folder.
  std::string caption;
  std::string encoded;           // The file's bytes.
  cv::Mat picture;               // BGR, 8-bit.
  std::optional<cv::Mat> truth;  // CV_16UC1, indices into DemoScenes::labels.
};

struct DemoScenes {
  std::vector<std::string> labels;  // Index 0 is background.
  std::vector<DemoScene> scenes;
};

// Reads FOLDER/scenes.json and what it names. Errors name file and field.
absl::StatusOr<DemoScenes> LoadDemoScenes(const std::string& folder);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_DEMO_SCENES_H_
