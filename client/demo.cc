#include "client/demo.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/demo_pictures.h"
#include "client/demo_report.h"
#include "client/demo_scenes.h"
#include "client/evaluation.h"
#include "client/image_io.h"
#include "client/overlay.h"
#include "client/progress.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

// A vocabulary after its classes were added.
struct DemoVocabulary {
  std::string name;
  int64_t version = 0;
  std::vector<v1::Class> classes;
  std::vector<std::string> reused;
};

// One run of the demo.
class Demo {
 public:
  Demo(const DemoOptions& options, Client& client, Console& console,
       Interrupts& interrupts)
      : options_(options),
        client_(client),
        console_(console),
        interrupts_(interrupts),
        pictures_(options.out) {}

  absl::StatusOr<Json> Run();

 private:
  using Scenes = std::vector<const DemoScene*>;

  CallOptions Call() const;
  absl::StatusOr<DemoVocabulary> AddClasses(
      const std::string& vocabulary, const std::vector<std::string>& names);
  absl::StatusOr<std::vector<DemoAnswer>> Segment(
      const DemoVocabulary& vocabulary, const Scenes& scenes,
      const std::vector<std::string>& spaces);
  absl::StatusOr<DemoAnswer> SegmentOne(const DemoVocabulary& vocabulary,
                                        const DemoScene& scene,
                                        const std::vector<std::string>& spaces);
  // Index in the truth of each label of the vocabulary.
  std::map<int, int> TruthIndices(const DemoVocabulary& vocabulary) const;
  absl::Status Score(const DemoVocabulary& vocabulary, const DemoScene& scene,
                     const DemoAnswer& answer, SegmentationScore& score) const;
  absl::Status Measure(const DemoVocabulary& vocabulary, Json& summary);
  absl::Status MeasureSpaces(const DemoVocabulary& vocabulary, Json& summary);
  absl::Status ShowColours(const DemoVocabulary& vocabulary, Json& summary);
  absl::Status WriteReport(const Json& summary);

  const DemoOptions& options_;
  Client& client_;
  Console& console_;
  Interrupts& interrupts_;
  const DemoPictures pictures_;
  v1::GetServerInfoResponse info_;
  DemoScenes scenes_;
};

Json NumberOrNull(double value) {
  return std::isnan(value) ? Json(nullptr)
                           : Json(std::round(value * 1e6) / 1e6);
}

std::vector<OverlayClass> VocabularyClasses(const DemoVocabulary& vocabulary) {
  std::vector<OverlayClass> classes;
  for (const v1::Class& entry : vocabulary.classes) {
    classes.push_back(
        {entry.name(), entry.label(), static_cast<uint32_t>(entry.colour())});
  }
  return classes;
}

// A job of its own for every run: what is stored already is then reported as
// reused, instead of the report of the job that once built it.
std::string FreshRequestId() {
  return absl::StrCat("demo-", absl::ToUnixMicros(absl::Now()));
}

CallOptions Demo::Call() const {
  CallOptions options;
  options.stop = interrupts_.first.get_token();
  return options;
}

absl::StatusOr<DemoVocabulary> Demo::AddClasses(
    const std::string& vocabulary, const std::vector<std::string>& names) {
  console_.err << "\nAdding " << names.size() << " classes to vocabulary "
               << vocabulary << ": " << absl::StrJoin(names, ", ") << std::endl;
  v1::AddClassesRequest request;
  request.set_vocabulary(vocabulary);
  request.set_request_id(FreshRequestId());
  for (const std::string& name : names) {
    request.add_classes()->set_name(name);
  }
  if (options_.pictures)
    request.mutable_options()->set_num_pictures(*options_.pictures);
  if (options_.steps) request.mutable_options()->set_num_steps(*options_.steps);
  ProgressView view(console_);
  absl::StatusOr<v1::Job> job = client_.AddClasses(
      request,
      [&](const v1::Job& whole, const v1::Job&) { view.Update(whole); },
      Call());
  view.Finish();
  if (!job.ok()) return job.status();
  DemoVocabulary result{vocabulary, 0, {}, {}};
  for (const v1::ClassProgress& progress : job->classes()) {
    if (progress.stage() != v1::CLASS_STAGE_DONE) {
      return absl::FailedPreconditionError(
          absl::StrCat("class '", progress.name(),
                       "' was not built: ", StageWords(progress)));
    }
    if (progress.cache_hit() == v1::CACHE_HIT_PROTOTYPES) {
      result.reused.push_back(progress.name());
    }
  }
  absl::StatusOr<ClassList> list = client_.ListClasses(vocabulary, 0, Call());
  if (!list.ok()) return list.status();
  result.version = list->version;
  for (v1::Class& entry : list->classes) {
    if (std::find(names.begin(), names.end(), entry.name()) != names.end()) {
      result.classes.push_back(std::move(entry));
    }
  }
  return result;
}

absl::StatusOr<DemoAnswer> Demo::SegmentOne(
    const DemoVocabulary& vocabulary, const DemoScene& scene,
    const std::vector<std::string>& spaces) {
  v1::SegmentRequest request;
  request.set_vocabulary(vocabulary.name);
  request.set_version(vocabulary.version);
  // Others may have added to the vocabulary; the figures are about these.
  for (const v1::Class& entry : vocabulary.classes) {
    request.add_classes(entry.name());
  }
  request.mutable_image()->set_encoded(scene.encoded);
  request.mutable_options()->mutable_spaces()->Assign(spaces.begin(),
                                                      spaces.end());
  request.set_label_map_format(v1::LABEL_MAP_FORMAT_PNG);
  absl::StatusOr<v1::SegmentResponse> response =
      client_.Segment(request, Call());
  if (!response.ok()) return response.status();
  absl::StatusOr<cv::Mat> labels = DecodeLabelMap(response->label_map());
  if (!labels.ok()) return labels.status();
  return DemoAnswer{*std::move(response), *labels};
}

absl::StatusOr<std::vector<DemoAnswer>> Demo::Segment(
    const DemoVocabulary& vocabulary, const Scenes& scenes,
    const std::vector<std::string>& spaces) {
  std::vector<absl::StatusOr<DemoAnswer>> answers(
      scenes.size(), absl::UnknownError("not asked"));
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < scenes.size(); i = next++) {
      answers[i] = SegmentOne(vocabulary, *scenes[i], spaces);
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < std::max(1, options_.parallel); ++i) {
      workers.emplace_back(work);
    }
  }
  std::vector<DemoAnswer> result;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      return absl::Status(
          answers[i].status().code(),
          absl::StrCat(scenes[i]->file, ": ", answers[i].status().message()));
    }
    result.push_back(*std::move(answers[i]));
  }
  return result;
}

std::map<int, int> Demo::TruthIndices(const DemoVocabulary& vocabulary) const {
  std::map<int, int> indices = {{0, 0}};
  for (const v1::Class& entry : vocabulary.classes) {
    const auto found =
        std::find(scenes_.labels.begin(), scenes_.labels.end(), entry.name());
    if (found != scenes_.labels.end()) {
      indices[entry.label()] = static_cast<int>(found - scenes_.labels.begin());
    }
  }
  return indices;
}

absl::Status Demo::Score(const DemoVocabulary& vocabulary,
                         const DemoScene& scene, const DemoAnswer& answer,
                         SegmentationScore& score) const {
  if (!scene.truth.has_value()) {
    return absl::OkStatus();
  }
  cv::Mat indices = answer.labels.clone();
  if (absl::Status mapped = MapLabels(TruthIndices(vocabulary), indices);
      !mapped.ok()) {
    return mapped;
  }
  return score.Add(*scene.truth, indices);
}

absl::Status Demo::Measure(const DemoVocabulary& vocabulary, Json& summary) {
  Scenes scenes;
  for (const DemoScene& scene : scenes_.scenes) scenes.push_back(&scene);
  console_.err << "\nSegmenting " << scenes.size()
               << " scenes with all feature spaces" << std::endl;
  auto answers = Segment(vocabulary, scenes, {});
  if (!answers.ok()) return answers.status();
  const std::vector<OverlayClass> classes = VocabularyClasses(vocabulary);
  SegmentationScore total;
  summary["scenes"] = Json::array();
  for (size_t i = 0; i < scenes.size(); ++i) {
    absl::StatusOr<Json> json = pictures_.Scene(*scenes[i], (*answers)[i], "");
    if (!json.ok()) return json.status();
    if (scenes[i]->truth.has_value()) {
      SegmentationScore own;
      for (SegmentationScore* score : {&total, &own}) {
        absl::Status scored =
            Score(vocabulary, *scenes[i], (*answers)[i], *score);
        if (!scored.ok()) return scored;
      }
      (*json)["miou"] = NumberOrNull(own.MeanIou());
      // The truth in the vocabulary's colours: index -> label.
      std::map<int, int> labels = {{0, 0}};
      for (const auto& [label, index] : TruthIndices(vocabulary))
        labels[index] = label;
      cv::Mat truth = scenes[i]->truth->clone();
      if (absl::Status mapped = MapLabels(labels, truth); !mapped.ok())
        return mapped;
      auto path = pictures_.WriteOverlay(
          fs::path(scenes[i]->file).stem().string() + ".truth", *scenes[i],
          truth, classes, false);
      if (!path.ok()) return path.status();
      (*json)["pictures"]["truth"] = *path;
    }
    console_.err << "  " << scenes[i]->file << "  " << scenes[i]->caption
                 << "  ->  "
                 << absl::StrJoin(
                        (*json)["classes"].get<std::vector<std::string>>(),
                        ", ")
                 << "\n";
    summary["scenes"].push_back(*std::move(json));
  }
  summary["miou"] = NumberOrNull(total.MeanIou());
  summary["foreground_iou"] = NumberOrNull(total.ForegroundIou());
  summary["background_iou"] = NumberOrNull(total.Iou(0));
  summary["classes"] = Json::array();
  const std::map<int, int> indices = TruthIndices(vocabulary);
  for (const v1::Class& entry : vocabulary.classes) {
    summary["classes"].push_back(
        {{"name", entry.name()},
         {"label", entry.label()},
         {"colour", HexColour(entry.colour())},
         {"iou", NumberOrNull(total.Iou(indices.at(entry.label())))}});
  }
  return absl::OkStatus();
}

absl::Status Demo::MeasureSpaces(const DemoVocabulary& vocabulary,
                                 Json& summary) {
  summary["miou_single_space"] = Json::object();
  Scenes scenes;
  for (const DemoScene& scene : scenes_.scenes) scenes.push_back(&scene);
  for (const std::string& space : info_.bundle().spaces()) {
    console_.err << "Segmenting them again with " << space << " alone"
                 << std::endl;
    auto answers = Segment(vocabulary, scenes, {space});
    if (!answers.ok()) return answers.status();
    SegmentationScore score;
    for (size_t i = 0; i < scenes.size(); ++i) {
      absl::Status scored = Score(vocabulary, *scenes[i], (*answers)[i], score);
      if (!scored.ok()) return scored;
      auto path = pictures_.WriteOverlay(
          absl::StrCat(fs::path(scenes[i]->file).stem().string(), ".", space),
          *scenes[i], (*answers)[i].labels,
          OverlayClasses((*answers)[i].response), false);
      if (!path.ok()) return path.status();
      summary["scenes"][i]["pictures"]["space_" + space] = *path;
    }
    summary["miou_single_space"][space] = NumberOrNull(score.MeanIou());
  }
  return absl::OkStatus();
}

absl::Status Demo::ShowColours(const DemoVocabulary& vocabulary,
                               Json& summary) {
  summary["colour_classes"] = Json::array();
  summary["colour_scenes"] = Json::array();
  for (const v1::Class& entry : vocabulary.classes) {
    summary["colour_classes"].push_back(
        {{"name", entry.name()}, {"colour", HexColour(entry.colour())}});
  }
  Scenes scenes;
  for (const DemoScene& scene : scenes_.scenes) {
    if (absl::StrContains(scene.caption, options_.colour_word))
      scenes.push_back(&scene);
  }
  auto answers = Segment(vocabulary, scenes, {});
  if (!answers.ok()) return answers.status();
  for (size_t i = 0; i < scenes.size(); ++i) {
    absl::StatusOr<Json> json =
        pictures_.Scene(*scenes[i], (*answers)[i], ".colours");
    if (!json.ok()) return json.status();
    summary["colour_scenes"].push_back(*std::move(json));
  }
  return absl::OkStatus();
}

absl::Status Demo::WriteReport(const Json& summary) {
  const fs::path out = options_.out;
  absl::Status written =
      WriteFileBytes((out / "summary.json").string(), Dump(summary) + "\n");
  if (!written.ok()) return written;
  return WriteFileBytes((out / "index.html").string(), DemoPage(summary));
}

absl::StatusOr<Json> Demo::Run() {
  const absl::Time begin = absl::Now();
  absl::StatusOr<DemoScenes> scenes = LoadDemoScenes(options_.scenes);
  if (!scenes.ok()) return scenes.status();
  scenes_ = *std::move(scenes);
  std::error_code error;
  fs::create_directories(fs::path(options_.out) / "pictures", error);
  if (error) {
    return absl::PermissionDeniedError(absl::StrCat(
        "cannot make the folder ", options_.out, ": ", error.message()));
  }
  absl::StatusOr<v1::GetServerInfoResponse> info =
      client_.GetServerInfo(Call());
  if (!info.ok()) return info.status();
  info_ = *std::move(info);
  console_.err << "ovdiffd " << info_.version() << " at " << client_.server()
               << ", " << info_.device_name() << ", bundle "
               << info_.bundle().name() << std::endl;
  auto main = AddClasses(options_.vocabulary,
                         {scenes_.labels.begin() + 1, scenes_.labels.end()});
  if (!main.ok()) return main.status();
  auto colours =
      AddClasses(options_.vocabulary + "-colours", options_.colour_classes);
  if (!colours.ok()) return colours.status();
  Json summary = {{"vocabulary", main->name}, {"version", main->version}};
  if (absl::Status measured = Measure(*main, summary); !measured.ok()) {
    return measured;
  }
  if (absl::Status measured = MeasureSpaces(*main, summary); !measured.ok()) {
    return measured;
  }
  if (absl::Status shown = ShowColours(*colours, summary); !shown.ok()) {
    return shown;
  }
  std::vector<std::string> reused = main->reused;
  reused.insert(reused.end(), colours->reused.begin(), colours->reused.end());
  summary["reused_classes"] = reused;
  summary["server"] = {{"version", info_.version()},
                       {"device", info_.device()},
                       {"device_name", info_.device_name()},
                       {"bundle", info_.bundle().name()},
                       {"fingerprints", ToJson(info_.fingerprints())}};
  summary["time"] =
      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", begin, absl::UTCTimeZone());
  summary["seconds"] = absl::ToDoubleSeconds(absl::Now() - begin);
  if (absl::Status written = WriteReport(summary); !written.ok())
    return written;
  console_.out << DemoWords(summary, options_.out, client_.server())
               << std::flush;
  return summary;
}

}  // namespace

absl::StatusOr<Json> RunDemo(const DemoOptions& options, Client& client,
                             Console& console, Interrupts& interrupts) {
  return Demo(options, client, console, interrupts).Run();
}

}  // namespace ovdiff::client
