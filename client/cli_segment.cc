// `ovdiff segment`.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli_commands.h"
#include "client/image_io.h"
#include "client/overlay.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

struct PhotoFlags {
  SegmentFlags segment;
  std::vector<std::string> photos;
  std::string out = "ovdiff-out";
  int parallel = 4;
  bool no_overlay = false;
};

struct PhotoResult {
  absl::Status status;
  Json document = Json::object();
};

// One photo from file to files.
PhotoResult SegmentPhoto(const PhotoFlags& flags, const std::string& path,
                         const std::string& name, int64_t max_bytes,
                         Session& session, std::string& line) {
  PhotoResult result;
  result.document["photo"] = path;
  absl::StatusOr<std::string> bytes = ReadFileBytes(path, max_bytes);
  if (!bytes.ok()) {
    result.status = bytes.status();
    return result;
  }
  v1::SegmentRequest request;
  request.set_vocabulary(flags.segment.vocabulary);
  request.set_version(flags.segment.version);
  request.mutable_classes()->Assign(flags.segment.classes.begin(),
                                    flags.segment.classes.end());
  request.set_profile(flags.segment.profile);
  *request.mutable_options() = ToSegmentOptions(flags.segment);
  request.set_label_map_format(v1::LABEL_MAP_FORMAT_PNG);
  request.mutable_image()->set_encoded(*bytes);
  absl::StatusOr<v1::SegmentResponse> response =
      session.client.Segment(request, session.Call());
  if (!response.ok()) {
    result.status = response.status();
    return result;
  }
  result.document.update(AnswerJson(*response));
  result.status = WriteAnswer(*bytes, *response, flags.out, name,
                              !flags.no_overlay, result.document);
  line = absl::StrFormat("%s: %s (%d ms)", Printable(path),
                         FoundClasses(*response),
                         std::lround(response->timing().total_seconds() * 1e3));
  return result;
}

int Summarise(const PhotoFlags& flags, const std::vector<PhotoResult>& results,
              const Session& session) {
  size_t failed = 0;
  Json documents = Json::array();
  absl::Status last;
  for (const PhotoResult& result : results) {
    Json document = result.document;
    if (!result.status.ok()) {
      ++failed;
      last = result.status;
      document["error"] = ErrorJson(result.status);
    }
    documents.push_back(std::move(document));
  }
  if (session.flags.json) {
    session.Print({{"photos", documents}});
  }
  session.console.err << results.size() - failed << " of " << results.size()
                      << " photos segmented; results are in " << flags.out
                      << "\n";
  if (session.interrupts.first.stop_requested()) {
    return kExitInterrupted;
  }
  if (failed == 0) {
    return kExitOk;
  }
  return failed == results.size() ? session.ExitCodeOf(last)
                                  : kExitPartlyFailed;
}

int RunSegment(const PhotoFlags& flags, Session& session) {
  absl::StatusOr<v1::GetServerInfoResponse> info =
      session.client.GetServerInfo(session.Call());
  if (!info.ok()) {
    return session.Fail(info.status());
  }
  if (absl::Status made = MakeFolder(flags.out); !made.ok()) {
    return session.Fail(made);
  }
  const std::vector<std::string> names = OutputNames(flags.photos);
  std::vector<PhotoResult> results(flags.photos.size());
  std::atomic<size_t> next = 0;
  std::mutex console_mutex;
  const auto work = [&] {
    for (size_t i = next++; i < flags.photos.size(); i = next++) {
      std::string line;
      results[i] =
          SegmentPhoto(flags, flags.photos[i], names[i],
                       info->limits().max_message_bytes(), session, line);
      std::lock_guard lock(console_mutex);
      if (!results[i].status.ok()) {
        session.console.err << "ovdiff: " << Printable(flags.photos[i]) << ": "
                            << Readable(results[i].status) << "\n";
      } else if (!session.flags.json) {
        session.console.out << line << std::endl;
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const size_t count = std::min<size_t>(flags.parallel, flags.photos.size());
    for (size_t i = 0; i < count; ++i) {
      workers.emplace_back(work);
    }
  }
  return Summarise(flags, results, session);
}

}  // namespace

std::string FoundClasses(const v1::SegmentResponse& response) {
  std::vector<std::string> found;
  for (const v1::SegmentedClass& entry : response.classes()) {
    if (entry.pixel_count() > 0) {
      found.push_back(absl::StrFormat("%s %.1f%%", Printable(entry.name()),
                                      100 * entry.area()));
    }
  }
  return found.empty() ? "background only" : absl::StrJoin(found, ", ");
}

Json AnswerJson(const v1::SegmentResponse& response) {
  Json json = ToJson(response);
  json["width"] = response.label_map().width();
  json["height"] = response.label_map().height();
  json.erase("label_map");
  return json;
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder)) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot make the folder ", folder, ": ",
                     error ? error.message() : "in the way"));
  }
  return absl::OkStatus();
}

std::vector<std::string> OutputNames(const std::vector<std::string>& paths) {
  std::set<std::string> taken;
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    const std::string stem = fs::path(path).stem().string();
    std::string name = stem;
    for (int number = 2; !taken.insert(name).second; ++number) {
      name = absl::StrCat(stem, "-", number);
    }
    names.push_back(name);
  }
  return names;
}

absl::Status WriteAnswer(const std::string& encoded,
                         const v1::SegmentResponse& response,
                         const std::string& folder, const std::string& name,
                         bool overlay, Json& document) {
  const std::string base = (fs::path(folder) / name).string();
  document["files"]["labels"] = base + ".labels.png";
  if (absl::Status written =
          WriteFileBytes(base + ".labels.png", response.label_map().data());
      !written.ok()) {
    return written;
  }
  if (overlay) {
    absl::StatusOr<cv::Mat> picture = DecodePicture(encoded);
    if (!picture.ok()) return picture.status();
    absl::StatusOr<cv::Mat> labels = DecodeLabelMap(response.label_map());
    if (!labels.ok()) return labels.status();
    absl::StatusOr<cv::Mat> drawn =
        DrawOverlay(*picture, *labels, OverlayClasses(response));
    if (!drawn.ok()) return drawn.status();
    absl::StatusOr<std::string> png = EncodePng(*drawn);
    if (!png.ok()) return png.status();
    document["files"]["overlay"] = base + ".overlay.png";
    if (absl::Status written = WriteFileBytes(base + ".overlay.png", *png);
        !written.ok()) {
      return written;
    }
  }
  document["files"]["json"] = base + ".json";
  return WriteFileBytes(base + ".json", Dump(document) + "\n");
}

void RegisterSegment(Registry& registry) {
  auto flags = std::make_shared<PhotoFlags>();
  CLI::App& command = *registry.Add(
      "segment", "Segment photos with a vocabulary", flags, &RunSegment);
  command
      .add_option("PHOTO", flags->photos,
                  "JPEG, PNG, WebP, BMP, TIFF or PNM files")
      ->required();
  command.add_option("-o,--out", flags->out, "Folder for the results")
      ->capture_default_str();
  command
      .add_option("--parallel", flags->parallel,
                  "Photos that are sent at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_flag("--no-overlay", flags->no_overlay, "Do not draw overlays");
  AddSegmentFlags(command, flags->segment);
  command.footer(R"(Writes for every photo, under its name without extension:
  NAME.overlay.png  the photo with colours, outlines and a legend, for people
  NAME.labels.png   one label per pixel, indexed, 0 is background, for programs
  NAME.json         class table, version, fingerprints, timing

Examples:
  ovdiff segment photo.jpg --vocabulary shop
  ovdiff segment *.jpg --vocabulary shop --class "red sneaker" -o out/
  ovdiff segment photo.jpg --vocabulary shop --space dino --json)");
}

}  // namespace ovdiff::client
