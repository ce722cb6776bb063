#include "benchmarks/accuracy/runner.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "benchmarks/accuracy/confusion.h"
#include "benchmarks/accuracy/picture_files.h"
#include "benchmarks/accuracy/result_file.h"
#include "engine/base/mutex.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "server/image_codec.h"
#include "server/label_map_codec.h"

namespace ovdiff::accuracy {
namespace {

using nlohmann::json;

constexpr absl::Duration kReportEvery = absl::Seconds(5);

// Calls in flight: enough that the engine's lanes never wait for the next
// picture to be read.
int NumLanes() {
  return std::clamp(2 * static_cast<int>(std::thread::hardware_concurrency()),
                    2, 32);
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make folder ", path, ": ", error.message()));
  }
  return absl::OkStatus();
}

absl::Status InContext(const std::string& context, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

std::string FolderName(const std::string& prompt) {
  std::string name = prompt;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

}  // namespace

// Segments the pictures of one variant, several at a time.
class Runner::Lanes {
 public:
  Lanes(Runner& runner, const Vocabulary& vocabulary,
        const SegmentOptions& options, bool true_classes, ResultFile& file,
        std::string progress)
      : runner_(runner),
        vocabulary_(vocabulary),
        options_(options),
        true_classes_(true_classes),
        file_(file),
        progress_(std::move(progress)) {}

  absl::Status Run() {
    for (size_t i = 0; i < runner_.plan_.pictures.size(); ++i) {
      if (!file_.Has(runner_.plan_.pictures[i].id, runner_.digests_[i])) {
        waiting_.push_back(i);
      }
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < NumLanes() && !waiting_.empty(); ++i) {
      threads.emplace_back([this] { Work(); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    const MutexLock lock(&mutex_);
    return status_;
  }

 private:
  void Work() {
    for (size_t i = next_++; i < waiting_.size() && !stop_; i = next_++) {
      const auto result = Segment(waiting_[i]);
      const MutexLock lock(&mutex_);
      absl::Status status = result.ok() ? file_.Add(*result) : result.status();
      if (!status.ok()) {
        status_.Update(
            InContext(runner_.plan_.pictures[waiting_[i]].image, status));
        stop_ = true;
      }
      ReportProgress();
    }
  }

  absl::StatusOr<PictureResult> Segment(size_t index) {
    const PlanPicture& picture = runner_.plan_.pictures[index];
    OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(picture.image));
    OVDIFF_ASSIGN_OR_RETURN(const Image image, DecodePicture(bytes));
    OVDIFF_ASSIGN_OR_RETURN(const std::string labels, ReadFile(picture.labels));
    OVDIFF_ASSIGN_OR_RETURN(const TrueLabels truth, DecodeLabels(labels));
    const std::vector<engine::SegmentClass> classes = ClassesFor(truth);
    const absl::Time start = absl::Now();
    OVDIFF_ASSIGN_OR_RETURN(
        engine::Segmentation segmentation,
        runner_.engine_.Segment(image, classes, options_, {}));
    PictureResult result;
    result.id = picture.id;
    result.digest = runner_.digests_[index];
    result.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    for (const engine::ClassResult& item : segmentation.classes) {
      if (item.kept) {
        result.kept.push_back(vocabulary_.evaluated[item.label]);
      }
    }
    OVDIFF_ASSIGN_OR_RETURN(
        result.confusions,
        CountConfusions(truth, segmentation.labels, vocabulary_.evaluated));
    OVDIFF_RETURN_IF_ERROR(Save(picture.id, std::move(segmentation.labels)));
    return result;
  }

  std::vector<engine::SegmentClass> ClassesFor(const TrueLabels& truth) const {
    std::vector<engine::SegmentClass> present;
    if (true_classes_) {
      const std::set<uint8_t> labels(truth.data.begin(), truth.data.end());
      for (const engine::SegmentClass& item : vocabulary_.classes) {
        if (labels.contains(
                static_cast<uint8_t>(vocabulary_.evaluated[item.label]))) {
          present.push_back(item);
        }
      }
    }
    return present.empty() ? vocabulary_.classes : present;
  }

  absl::Status Save(const std::string& id, LabelMap labels) {
    if (runner_.plan_.save_labels.empty()) {
      return absl::OkStatus();
    }
    for (uint16_t& label : labels.data) {
      label = vocabulary_.evaluated[label];
    }
    OVDIFF_ASSIGN_OR_RETURN(const std::string png,
                            server::EncodeLabelMapPng(labels));
    return WriteFile(absl::StrCat(runner_.plan_.save_labels, "/", progress_,
                                  "/", FolderName(id), ".png"),
                     png);
  }

  void ReportProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++done_;
    const absl::Time now = absl::Now();
    const bool is_last = done_ == waiting_.size();
    if (is_last || now - last_report_ >= kReportEvery) {
      last_report_ = now;
      const absl::Duration each = (now - start_) / static_cast<int64_t>(done_);
      const absl::Duration left =
          each * static_cast<int64_t>(waiting_.size() - done_);
      runner_.report_(absl::StrFormat(
          "%s: %d of %d pictures, %.0f ms each, %s left", progress_, done_,
          waiting_.size(), absl::ToDoubleMilliseconds(each),
          absl::FormatDuration(absl::Trunc(left, absl::Seconds(1)))));
    }
  }

  Runner& runner_;
  const Vocabulary& vocabulary_;
  const SegmentOptions& options_;
  const bool true_classes_;
  ResultFile& file_;  // By mutex_.
  const std::string progress_;
  std::vector<size_t> waiting_;  // Pictures to do.
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  Mutex mutex_;
  size_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  const absl::Time start_ = absl::Now();
  absl::Time last_report_ ABSL_GUARDED_BY(mutex_) = start_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

absl::Status Runner::Run() {
  OVDIFF_RETURN_IF_ERROR(MakeFolder(plan_.out));
  OVDIFF_RETURN_IF_ERROR(DigestPictures());
  // Options are wrong before hours of work, not after.
  for (const PlanVariant& variant : plan_.variants) {
    OVDIFF_ASSIGN_OR_RETURN(const MethodOptions options,
                            ResolveOptions(engine_.info(), variant, 0));
    for (const absl::Status& status : {engine_.Validate(options.generation),
                                       engine_.Validate(options.prototype),
                                       engine_.Validate(options.segment)}) {
      if (!status.ok()) {
        return InContext(absl::StrCat("variant ", variant.name), status);
      }
    }
  }
  for (int seed = 0; seed < plan_.num_seeds; ++seed) {
    for (const PlanVariant& variant : plan_.variants) {
      OVDIFF_RETURN_IF_ERROR(
          RunVariant(variant, seed, absl::StrCat(variant.name, ".seed", seed)));
    }
  }
  return absl::OkStatus();
}

absl::Status Runner::DigestPictures() {
  for (const PlanPicture& picture : plan_.pictures) {
    Sha256 digest;
    for (const std::string& path : {picture.image, picture.labels}) {
      OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
      digest.UpdateField(bytes);
    }
    digests_.push_back(ToHex(digest.Finish()).substr(0, 16));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Runner::PaintedPictures(const GenerationOptions& options,
                                            int seed) const {
  const auto regardless_of_count = [&](GenerationOptions generation) {
    generation.num_pictures = 1;
    return engine_.GeneratorFingerprint(generation);
  };
  const Sha256Digest wanted = regardless_of_count(options);
  int most = options.num_pictures;
  for (const PlanVariant& variant : plan_.variants) {
    OVDIFF_ASSIGN_OR_RETURN(const MethodOptions other,
                            ResolveOptions(engine_.info(), variant, seed));
    if (variant.support.empty() &&
        regardless_of_count(other.generation) == wanted) {
      most = std::max(most, other.generation.num_pictures);
    }
  }
  return most;
}

absl::StatusOr<Runner::Vocabulary> Runner::Build(const PlanVariant& variant,
                                                 const MethodOptions& options,
                                                 int seed) {
  OVDIFF_ASSIGN_OR_RETURN(const int painted,
                          PaintedPictures(options.generation, seed));
  Vocabulary vocabulary;
  for (size_t i = 0; i < plan_.classes.size(); ++i) {
    const PlanClass& item = plan_.classes[i];
    absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>> loaded;
    if (variant.support.empty()) {
      loaded = prototypes_.Painted(item.prompt, options, painted);
    } else {
      loaded = prototypes_.FromFiles(item.prompt, Support(variant, seed)[i],
                                     options.prototype);
    }
    if (absl::IsFailedPrecondition(loaded.status())) {
      report_(absl::StrCat(variant.name,
                           ": left out: ", loaded.status().message()));
      vocabulary.failed.push_back(item.prompt);
      continue;
    }
    OVDIFF_RETURN_IF_ERROR(loaded.status());
    vocabulary.classes.push_back(
        {.label = static_cast<uint16_t>(vocabulary.classes.size() + 1),
         .name = item.prompt,
         .kind = item.kind,
         .prototypes = *std::move(loaded)});
    vocabulary.evaluated.push_back(item.label);
  }
  if (vocabulary.classes.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("variant ", variant.name, ": no class could be built"));
  }
  return vocabulary;
}

const std::vector<std::vector<SupportFile>>& Runner::Support(
    const PlanVariant& variant, int seed) const {
  const SupportFiles& files = plan_.supports.at(variant.support);
  return files[static_cast<size_t>(seed) % files.size()];
}

absl::StatusOr<json> Runner::Header(const PlanVariant& variant,
                                    const MethodOptions& options, int seed,
                                    const Vocabulary& vocabulary) const {
  json classes = json::array();
  for (const PlanClass& item : plan_.classes) {
    classes.push_back({item.prompt, static_cast<int>(item.kind), item.label});
  }
  json support = json::array();
  if (!variant.support.empty()) {
    for (const auto& files : Support(variant, seed)) {
      OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest digest, DigestOf(files));
      support.push_back(ToHex(digest).substr(0, 16));
    }
  }
  return json{{"format", 1},
              {"variant", variant.name},
              {"profile", variant.profile},
              {"options", variant.options},
              {"true_classes", variant.true_classes},
              {"support", variant.support},
              {"support_files", support},
              {"seed", seed},
              {"classes", classes},
              {"left_out", vocabulary.failed},
              {"device", engine_.info().device},
              {"generator_fingerprint",
               ToHex(engine_.GeneratorFingerprint(options.generation))},
              {"encoder_fingerprint",
               ToHex(engine_.EncoderFingerprint(options.prototype))},
              {"provenance", provenance_}};
}

absl::Status Runner::RunVariant(const PlanVariant& variant, int seed,
                                const std::string& progress) {
  OVDIFF_ASSIGN_OR_RETURN(const MethodOptions options,
                          ResolveOptions(engine_.info(), variant, seed));
  OVDIFF_ASSIGN_OR_RETURN(const Vocabulary vocabulary,
                          Build(variant, options, seed));
  OVDIFF_ASSIGN_OR_RETURN(const json header,
                          Header(variant, options, seed, vocabulary));
  OVDIFF_ASSIGN_OR_RETURN(
      const auto file,
      ResultFile::Open(absl::StrCat(plan_.out, "/", progress, ".jsonl"),
                       header));
  if (!plan_.save_labels.empty()) {
    OVDIFF_RETURN_IF_ERROR(
        MakeFolder(absl::StrCat(plan_.save_labels, "/", progress)));
  }
  Lanes lanes(*this, vocabulary, options.segment, variant.true_classes, *file,
              progress);
  return lanes.Run();
}

absl::Status Runner::ExportSupports(const std::string& folder) {
  for (int seed = 0; seed < plan_.num_seeds; ++seed) {
    OVDIFF_ASSIGN_OR_RETURN(
        const MethodOptions options,
        ResolveOptions(engine_.info(), plan_.variants.front(), seed));
    for (const PlanClass& item : plan_.classes) {
      OVDIFF_ASSIGN_OR_RETURN(
          const SupportSet support,
          prototypes_.SupportPictures(item.prompt, options.generation));
      const std::string path =
          absl::StrCat(folder, "/seed", seed, "/", FolderName(item.prompt));
      OVDIFF_RETURN_IF_ERROR(MakeFolder(path));
      for (size_t i = 0; i < support.pictures.size(); ++i) {
        const std::string stem = absl::StrFormat("%s/%03d", path, i);
        OVDIFF_ASSIGN_OR_RETURN(const std::string picture,
                                server::EncodePng(support.pictures[i].image));
        OVDIFF_RETURN_IF_ERROR(WriteFile(stem + ".png", picture));
        OVDIFF_ASSIGN_OR_RETURN(
            const std::string map,
            EncodeAttribution(support.pictures[i].attribution));
        OVDIFF_RETURN_IF_ERROR(WriteFile(stem + ".attribution.tiff", map));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::accuracy
