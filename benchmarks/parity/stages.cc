// ovdiff-parity-stages: every stage of the method as tensors in one file, for
// official.py to lay beside what the official program has there.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "benchmarks/accuracy/picture_files.h"
#include "benchmarks/accuracy/plan.h"
#include "engine/base/status_macros.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/pipeline/picture_scores.h"
#include "engine/runners/model_set.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runtime/compute_device.h"
#include "engine/weights/safetensors.h"
#include "torch/types.h"

namespace ovdiff::parity {
namespace {

using accuracy::MethodOptions;
using accuracy::Plan;
using accuracy::PlanVariant;

template <typename T>
torch::Tensor Copy(const std::vector<T>& values,
                   const std::vector<int64_t>& shape) {
  const torch::Tensor view = torch::from_blob(
      const_cast<T*>(values.data()), shape, c10::CppTypeToScalarType<T>::value);
  return view.clone();
}

torch::Tensor Pixels(const Image& image) {
  return Copy(image.data, {image.height, image.width, 3});
}

absl::StatusOr<Image> ReadPicture(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, accuracy::ReadFile(path));
  return accuracy::DecodePicture(bytes);
}

// The parts that the engine hides, of the same bundle.
struct Inside {
  engine::Bundle bundle;
  std::unique_ptr<engine::ComputeDevice> device;
  std::unique_ptr<engine::ModelSet> models;
  std::unique_ptr<engine::DeviceScheduler> scheduler;
  std::unique_ptr<engine::Prefilter> prefilter;
  std::unique_ptr<engine::WindowMatcher> matcher;

  absl::Status Open(const Plan& plan) {
    OVDIFF_ASSIGN_OR_RETURN(bundle, engine::ReadBundle(plan.bundle));
    OVDIFF_ASSIGN_OR_RETURN(
        device, engine::ComputeDevice::Create(
                    {.name = plan.device, .num_threads = plan.num_threads}));
    OVDIFF_ASSIGN_OR_RETURN(models, engine::ModelSet::Create(bundle, *device));
    OVDIFF_ASSIGN_OR_RETURN(scheduler, engine::DeviceScheduler::Create({}));
    prefilter = std::make_unique<engine::Prefilter>(bundle.prefilter, *models,
                                                    *device, *scheduler);
    OVDIFF_ASSIGN_OR_RETURN(
        matcher, engine::WindowMatcher::Create(*models, *device, *scheduler));
    return absl::OkStatus();
  }
};

class Stages {
 public:
  // Photos are not looked at with the variants of `masks_only`.
  Stages(const Plan& plan, const std::vector<std::string>& masks_only,
         engine::Engine& engine, Inside& inside)
      : plan_(plan),
        masks_only_(masks_only),
        engine_(engine),
        inside_(inside) {}

  absl::StatusOr<engine::StateDict> Run() {
    for (size_t i = 0; i < plan_.variants.size(); ++i) {
      OVDIFF_ASSIGN_OR_RETURN(
          const MethodOptions options,
          accuracy::ResolveOptions(engine_.info(), plan_.variants[i], 0));
      if (i == 0) {
        OVDIFF_RETURN_IF_ERROR(Paint(options.generation));
        OVDIFF_RETURN_IF_ERROR(Features(options.prototype));
      }
      OVDIFF_RETURN_IF_ERROR(Build(plan_.variants[i], options));
      if (!absl::c_linear_search(masks_only_, plan_.variants[i].name)) {
        OVDIFF_RETURN_IF_ERROR(Segment(plan_.variants[i], options.segment));
      }
    }
    return std::move(out_);
  }

 private:
  absl::Status Paint(const GenerationOptions& options) {
    for (const accuracy::PlanClass& item : plan_.classes) {
      OVDIFF_ASSIGN_OR_RETURN(
          SupportSet support,
          engine_.PaintSupportSet(item.prompt, options, {}, nullptr));
      std::vector<torch::Tensor> pictures;
      std::vector<torch::Tensor> maps;
      for (const SupportPicture& picture : support.pictures) {
        pictures.push_back(Pixels(picture.image));
        const AttributionMap& map = picture.attribution;
        maps.push_back(Copy(map.data, {map.height, map.width}));
      }
      out_[item.prompt + "/pictures"] = torch::stack(pictures);
      out_[item.prompt + "/attribution"] = torch::stack(maps);
      supports_.push_back(std::move(support));
    }
    return absl::OkStatus();
  }

  // Of the other program's pictures, so that a grey level in which a painted
  // one differs does not count as the encoders' error.
  absl::Status Features(const PrototypeOptions& options) {
    const auto found = plan_.supports.find("official");
    if (found == plan_.supports.end()) {
      return absl::OkStatus();
    }
    for (size_t i = 0; i < plan_.classes.size(); ++i) {
      for (const auto& space : inside_.models->spaces) {
        std::vector<torch::Tensor> rows;
        for (const accuracy::SupportFile& file : found->second[0][i]) {
          OVDIFF_ASSIGN_OR_RETURN(const Image image, ReadPicture(file.image));
          OVDIFF_ASSIGN_OR_RETURN(
              torch::Tensor features,
              inside_.device->MapBatch(
                  engine::ToTensor(image), [&](const torch::Tensor& x) {
                    return space->Extract(x, {.seed = options.noise_seed,
                                              .shared = options.shared_noise});
                  }));
          rows.push_back(std::move(features));
        }
        out_[absl::StrCat(plan_.classes[i].prompt, "/features/",
                          space->spec().name)] = torch::cat(rows);
      }
    }
    return absl::OkStatus();
  }

  // Masks and prototypes.
  absl::Status Build(const PlanVariant& variant, const MethodOptions& options) {
    classes_.clear();
    for (size_t i = 0; i < plan_.classes.size(); ++i) {
      const std::string name =
          absl::StrCat(variant.name, "/", plan_.classes[i].prompt);
      std::vector<int> wanted(supports_[i].pictures.size());
      for (size_t n = 0; n < wanted.size(); ++n) {
        wanted[n] = static_cast<int>(n);
      }
      OVDIFF_ASSIGN_OR_RETURN(const std::vector<engine::PictureMasks> masks,
                              engine_.MakePictureMasks(supports_[i], wanted,
                                                       options.prototype, {}));
      std::vector<torch::Tensor> foreground;
      std::vector<torch::Tensor> background;
      for (const engine::PictureMasks& mask : masks) {
        foreground.push_back(Copy(mask.foreground, {mask.side, mask.side}));
        background.push_back(Copy(mask.background, {mask.side, mask.side}));
      }
      out_[name + "/foreground"] = torch::stack(foreground);
      out_[name + "/background"] = torch::stack(background);
      OVDIFF_ASSIGN_OR_RETURN(
          const PrototypeSet set,
          engine_.BuildPrototypeSet(supports_[i], options.prototype, {},
                                    nullptr));
      for (const FeatureSpacePrototypes& space : set.spaces) {
        AddVectors(absl::StrCat(name, "/", space.space, "/foreground"),
                   space.foreground, space.dim);
        AddVectors(absl::StrCat(name, "/", space.space, "/background"),
                   space.background, space.dim);
      }
      OVDIFF_ASSIGN_OR_RETURN(auto loaded, engine_.LoadPrototypes(set));
      classes_.push_back({.label = plan_.classes[i].label,
                          .name = plan_.classes[i].prompt,
                          .kind = plan_.classes[i].kind,
                          .prototypes = std::move(loaded)});
    }
    return absl::OkStatus();
  }

  void AddVectors(const std::string& name, const PrototypeVectors& vectors,
                  int32_t dim) {
    out_[name] =
        Copy(vectors.values, {static_cast<int64_t>(vectors.count()), dim});
    std::vector<uint8_t> levels;
    for (const PrototypeLevel level : vectors.levels) {
      levels.push_back(static_cast<uint8_t>(level));
    }
    out_[name + "/levels"] =
        Copy(levels, {static_cast<int64_t>(levels.size())});
  }

  // What the prefilter keeps, score maps of the working picture, labels.
  absl::Status Segment(const PlanVariant& variant,
                       const SegmentOptions& options) {
    const engine::ScoringParts parts{
        .bundle = inside_.bundle,
        .models = *inside_.models,
        .device = *inside_.device,
        .scheduler = *inside_.scheduler,
        .prefilter = *inside_.prefilter,
        .max_windows = 1024,
    };
    for (const accuracy::PlanPicture& picture : plan_.pictures) {
      const std::string name = absl::StrCat(variant.name, "/", picture.id);
      OVDIFF_ASSIGN_OR_RETURN(const Image image, ReadPicture(picture.image));
      const CallControl control;
      engine::PictureScores scores(parts, image, classes_, options, control);
      OVDIFF_RETURN_IF_ERROR(scores.Prepare());
      OVDIFF_RETURN_IF_ERROR(scores.Match());
      std::vector<torch::Tensor> maps;
      const auto add = [&](absl::Span<const float> map) {
        maps.push_back(Copy(std::vector<float>(map.begin(), map.end()),
                            {scores.size().height, scores.size().width}));
      };
      OVDIFF_RETURN_IF_ERROR(scores.VisitBackground(add));
      out_[name + "/has_background"] =
          torch::tensor({static_cast<int64_t>(maps.size())});
      OVDIFF_RETURN_IF_ERROR(scores.VisitClasses(
          0, scores.kept().size(),
          [&](size_t, absl::Span<const float> map) { add(map); }));
      out_[name + "/scores"] = torch::stack(maps);
      std::vector<int64_t> kept;
      for (const size_t index : scores.kept()) {
        kept.push_back(classes_[index].label);
      }
      out_[name + "/kept"] = Copy(kept, {static_cast<int64_t>(kept.size())});
      OVDIFF_ASSIGN_OR_RETURN(
          const engine::Segmentation segmentation,
          engine_.Segment(image, classes_, options, control));
      const std::vector<uint8_t> labels(segmentation.labels.data.begin(),
                                        segmentation.labels.data.end());
      out_[name + "/labels"] = Copy(labels, {image.height, image.width});
      std::printf("%s: %d windows\n", name.c_str(), scores.num_windows());
    }
    return absl::OkStatus();
  }

  const Plan& plan_;
  const std::vector<std::string>& masks_only_;
  engine::Engine& engine_;
  Inside& inside_;
  std::vector<SupportSet> supports_;           // By class.
  std::vector<engine::SegmentClass> classes_;  // Of the variant.
  engine::StateDict out_;
};

absl::Status Main(const std::string& path,
                  const std::vector<std::string>& masks_only,
                  const std::string& out) {
  OVDIFF_ASSIGN_OR_RETURN(const Plan plan, accuracy::ReadPlan(path));
  engine::EngineOptions options;
  options.bundle_path = plan.bundle;
  options.device = plan.device;
  options.num_threads = plan.num_threads;
  OVDIFF_ASSIGN_OR_RETURN(const auto engine, engine::CreateEngine(options));
  Inside inside;
  OVDIFF_RETURN_IF_ERROR(inside.Open(plan));
  OVDIFF_ASSIGN_OR_RETURN(const engine::StateDict stages,
                          Stages(plan, masks_only, *engine, inside).Run());
  inside.scheduler->Stop();
  return engine::WriteSafetensors(out, stages);
}

}  // namespace
}  // namespace ovdiff::parity

int main(int argc, char** argv) {
  CLI::App app(
      "Writes every stage of the method as tensors. Called by "
      "benchmarks/parity/official.py.");
  std::string plan;
  std::string out;
  std::vector<std::string> masks_only;
  app.add_option("plan", plan, "JSON file, as of ovdiff-accuracy")->required();
  app.add_option("--out", out, "the file of tensors")->required();
  app.add_option("--masks-only", masks_only,
                 "variants whose masks and prototypes alone are wanted");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = ovdiff::parity::Main(plan, masks_only, out);
  if (!status.ok()) {
    std::fprintf(stderr, "ovdiff-parity-stages: %s\n",
                 status.ToString().c_str());
    return 1;
  }
  return 0;
}
