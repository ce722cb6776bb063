#include "client/demo_pictures.h"

#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/image_io.h"

namespace ovdiff::client {

namespace fs = std::filesystem;

std::string HexColour(int colour) { return absl::StrFormat("#%06x", colour); }

absl::StatusOr<std::string> DemoPictures::Write(const std::string& name,
                                                const cv::Mat& picture) const {
  const std::string relative = absl::StrCat("pictures/", name, ".png");
  absl::StatusOr<std::string> png = EncodePng(picture);
  if (!png.ok()) return png.status();
  absl::Status written =
      WriteFileBytes((fs::path(folder_) / relative).string(), *png);
  if (!written.ok()) return written;
  return relative;
}

absl::StatusOr<std::string> DemoPictures::WriteOverlay(
    const std::string& name, const DemoScene& scene, const cv::Mat& labels,
    const std::vector<OverlayClass>& classes, bool legend) const {
  OverlayOptions options;
  options.legend = legend;
  absl::StatusOr<cv::Mat> drawn =
      DrawOverlay(scene.picture, labels, classes, options);
  if (!drawn.ok()) return drawn.status();
  return Write(name, *drawn);
}

absl::StatusOr<Json> DemoPictures::Scene(const DemoScene& scene,
                                         const DemoAnswer& answer,
                                         const std::string& suffix) const {
  const std::string stem = fs::path(scene.file).stem().string() + suffix;
  Json found = Json::array();
  Json names = Json::array();
  for (const v1::SegmentedClass& entry : answer.response.classes()) {
    if (entry.pixel_count() > 0) {
      names.push_back(entry.name());
      found.push_back({{"name", entry.name()},
                       {"colour", HexColour(entry.colour())},
                       {"area", entry.area()},
                       {"score", entry.score()}});
    }
  }
  const std::vector<OverlayClass> classes = OverlayClasses(answer.response);
  // The picture with no label on it, at the size of the overlays.
  const cv::Mat nothing = cv::Mat::zeros(scene.picture.size(), CV_16UC1);
  auto picture = WriteOverlay(stem + ".picture", scene, nothing, {}, false);
  if (!picture.ok()) return picture.status();
  auto plain =
      WriteOverlay(stem + ".answer", scene, answer.labels, classes, false);
  if (!plain.ok()) return plain.status();
  auto overlay =
      WriteOverlay(stem + ".overlay", scene, answer.labels, classes, true);
  if (!overlay.ok()) return overlay.status();
  const std::string labels = absl::StrCat("pictures/", stem, ".labels.png");
  if (absl::Status written =
          WriteFileBytes((fs::path(folder_) / labels).string(),
                         answer.response.label_map().data());
      !written.ok()) {
    return written;
  }
  return Json{{"file", scene.file},
              {"caption", scene.caption},
              {"classes", names},
              {"milliseconds",
               std::round(answer.response.timing().total_seconds() * 1e4) / 10},
              {"found", found},
              {"pictures",
               {{"picture", *picture},
                {"answer", *plain},
                {"overlay", *overlay},
                {"labels", labels}}}};
}

}  // namespace ovdiff::client
