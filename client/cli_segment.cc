// `ovdiff segment`.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
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

// "clip=2"; nothing for other text.
std::optional<std::pair<std::string, double>> ParseWeight(
    const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '=');
  double weight = 0;
  if (parts.size() != 2 || parts[0].empty() ||
      !absl::SimpleAtod(parts[1], &weight)) {
    return std::nullopt;
  }
  return std::make_pair(parts[0], weight);
}

}  // namespace

void AddSegmentFlags(CLI::App& command, SegmentFlags& flags) {
  AddVocabularyFlag(command, flags.vocabulary, true);
  command
      .add_option("--version", flags.version,
                  "Of the vocabulary (default: newest)")
      ->check(CLI::NonNegativeNumber);
  // Repeated rather than a list: names may hold commas and blanks, and a list
  // would swallow the photos after it.
  command
      .add_option("-c,--class,--classes", flags.classes,
                  "Only this class of the vocabulary; may be repeated")
      ->allow_extra_args(false);
  AddCompareFlags(command, flags);
}

void AddCompareFlags(CLI::App& command, SegmentFlags& flags) {
  const char* group =
      "How to compare (defaults: the server's, see `ovdiff info`)";
  command
      .add_option(
          "--space", flags.spaces,
          "Use this feature space only (sd, dino, clip); may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--profile", flags.profile,
                  "Named options of the server's; the flags below change them")
      ->group(group);
  command
      .add_option("--space-weight", flags.space_weights,
                  "What a feature space counts, such as clip=2; may be "
                  "repeated")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return ParseWeight(text) ? std::string()
                                 : "must be NAME=NUMBER, such as clip=2";
      })
      ->group(group);
  command
      .add_option(
          "--level", flags.levels,
          "Use this prototype level only (class, instance, part); may be "
          "repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"class", "instance", "part"}))
      ->group(group);
  command
      .add_flag("--no-prefilter", flags.no_prefilter,
                "Compare with every class, not only with those that CLIP sees")
      ->group(group);
  command
      .add_option("--prefilter-max-classes", flags.prefilter_max_classes,
                  "Most classes that CLIP weighs against each other")
      ->group(group);
  command
      .add_flag("--no-stuff-filter", flags.no_stuff_filter,
                "Use all background prototypes, also those of and like stuff")
      ->group(group);
  command
      .add_option("--stuff-filter-threshold", flags.stuff_filter_threshold,
                  "Cosine above which a background prototype is like stuff")
      ->group(group);
  command
      .add_flag("--stuff-filter-foreground,!--no-stuff-filter-foreground",
                flags.stuff_filter_foreground,
                "Leave out what is like stuff of the things' own prototypes "
                "too, or do not")
      ->group(group);
  command
      .add_flag("--pamr,!--no-pamr", flags.pamr,
                "Refine the scores along the picture's edges, or do not")
      ->group(group);
  command
      .add_option("--pamr-iterations", flags.pamr_iterations, "Rounds of that")
      ->group(group);
  command
      .add_flag("--no-background", flags.no_background,
                "Without background prototypes")
      ->group(group);
  command
      .add_option("--background-threshold", flags.background_threshold,
                  "Score of background where there are no prototypes of it")
      ->group(group);
  command
      .add_option("--short-side", flags.short_side,
                  "Resize the short side to this")
      ->group(group);
  command
      .add_option("--window-size", flags.window_sizes,
                  "Side of the sliding windows; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--window-stride", flags.window_stride, "Step of the windows")
      ->group(group);
  command
      .add_flag("--no-whole-picture", flags.no_whole_picture, "Windows only")
      ->group(group);
  command
      .add_option("--noise-seed", flags.noise_seed,
                  "Rules the noise of the diffusion features")
      ->group(group);
}

v1::SegmentOptions ToSegmentOptions(const SegmentFlags& flags) {
  v1::SegmentOptions options;
  options.mutable_spaces()->Assign(flags.spaces.begin(), flags.spaces.end());
  options.mutable_window_sizes()->Assign(flags.window_sizes.begin(),
                                         flags.window_sizes.end());
  for (const std::string& text : flags.space_weights) {
    const auto [space, weight] = *ParseWeight(text);
    (*options.mutable_space_weights())[space] = weight;
  }
  if (flags.no_prefilter) options.set_use_prefilter(false);
  if (flags.no_stuff_filter) options.set_use_stuff_filter(false);
  if (flags.pamr) options.set_use_pamr(*flags.pamr);
  if (flags.no_background) options.set_use_background(false);
  if (flags.no_whole_picture) options.set_whole_picture(false);
  if (flags.window_stride) options.set_window_stride(*flags.window_stride);
  if (flags.short_side) options.set_short_side(*flags.short_side);
  if (flags.noise_seed) options.set_noise_seed(*flags.noise_seed);
  if (flags.stuff_filter_threshold) {
    options.set_stuff_filter_threshold(*flags.stuff_filter_threshold);
  }
  if (flags.stuff_filter_foreground) {
    options.set_stuff_filter_foreground(*flags.stuff_filter_foreground);
  }
  if (flags.pamr_iterations) {
    options.set_pamr_iterations(*flags.pamr_iterations);
  }
  if (flags.background_threshold) {
    options.set_background_threshold(*flags.background_threshold);
  }
  if (flags.prefilter_max_classes) {
    options.set_prefilter_max_classes(*flags.prefilter_max_classes);
  }
  if (!flags.levels.empty()) {
    const std::set<std::string> levels(flags.levels.begin(),
                                       flags.levels.end());
    options.set_use_class_level(levels.count("class") > 0);
    options.set_use_instance_level(levels.count("instance") > 0);
    options.set_use_part_level(levels.count("part") > 0);
  }
  return options;
}

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
