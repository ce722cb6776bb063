#include "client/demo_scenes.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/image_io.h"
#include "client/json_output.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = 64 << 20;

absl::StatusOr<DemoScene> LoadScene(const fs::path& folder, const Json& entry,
                                    size_t num_labels) {
  if (!entry.is_object() || !entry.contains("file") ||
      !entry["file"].is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(
        (folder / "scenes.json").string(), ": a scene without \"file\""));
  }
  DemoScene scene;
  scene.file = entry["file"].get<std::string>();
  scene.caption = entry.value("caption", scene.file);
  const fs::path path = folder / scene.file;
  absl::StatusOr<std::string> bytes =
      ReadFileBytes(path.string(), kMaxFileBytes);
  if (!bytes.ok()) return bytes.status();
  scene.encoded = *std::move(bytes);
  absl::StatusOr<cv::Mat> picture = DecodePicture(scene.encoded);
  if (!picture.ok()) return picture.status();
  scene.picture = *picture;
  const fs::path truth_path = folder / (path.stem().string() + ".labels.png");
  if (!fs::exists(truth_path)) {
    return scene;
  }
  absl::StatusOr<std::string> truth_bytes =
      ReadFileBytes(truth_path.string(), kMaxFileBytes);
  if (!truth_bytes.ok()) return truth_bytes.status();
  absl::StatusOr<cv::Mat> truth = DecodeLabelPng(*truth_bytes);
  if (!truth.ok()) return truth.status();
  double largest = 0;
  cv::minMaxLoc(*truth, nullptr, &largest);
  if (truth->size() != scene.picture.size() ||
      largest >= static_cast<double>(num_labels)) {
    return absl::InvalidArgumentError(absl::StrCat(
        truth_path.string(), ": ", truth->cols, "x", truth->rows,
        ", values up to ", largest, "; its picture has ", scene.picture.cols,
        "x", scene.picture.rows, " and scenes.json ", num_labels, " labels"));
  }
  scene.truth = *truth;
  return scene;
}

}  // namespace

absl::StatusOr<DemoScenes> LoadDemoScenes(const std::string& folder) {
  const std::string index = (fs::path(folder) / "scenes.json").string();
  absl::StatusOr<std::string> text = ReadFileBytes(index, kMaxFileBytes);
  if (!text.ok()) return text.status();
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("labels") ||
      !json["labels"].is_array() || json["labels"].size() < 2 ||
      !json.contains("scenes") || !json["scenes"].is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(
        index,
        ": needs \"labels\" (background first) and \"scenes\", both lists"));
  }
  DemoScenes scenes;
  for (const Json& label : json["labels"]) {
    if (!label.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(index, ": a label is no text"));
    }
    scenes.labels.push_back(label.get<std::string>());
  }
  for (const Json& entry : json["scenes"]) {
    absl::StatusOr<DemoScene> scene =
        LoadScene(folder, entry, scenes.labels.size());
    if (!scene.ok()) return scene.status();
    scenes.scenes.push_back(*std::move(scene));
  }
  return scenes;
}

}  // namespace ovdiff::client
