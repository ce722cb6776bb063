#include "engine/engine.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/bundle/fingerprint.h"
#include "engine/bundle/profiles.h"
#include "engine/bundle/validate_options.h"
#include "engine/pipeline/loaded_prototypes.h"
#include "engine/pipeline/picture_attributor.h"
#include "engine/pipeline/prototype_builder.h"
#include "engine/pipeline/segmenter.h"
#include "engine/pipeline/support_set_painter.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {
namespace {

// Windows of one picture over all spaces, whatever the queue would take.
constexpr int64_t kMaxPictureWindows = 1024;

absl::Status ValidateEngineOptions(const EngineOptions& options) {
  if (options.max_batch_windows < 1 || options.max_batch_windows > 256) {
    return absl::InvalidArgumentError(absl::StrCat("max_batch_windows is ",
                                                   options.max_batch_windows,
                                                   "; allowed are 1 to 256"));
  }
  if (options.max_queued_windows < 64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_queued_windows is ", options.max_queued_windows,
        "; allowed are 64 and more, for one picture has dozens of windows"));
  }
  return absl::OkStatus();
}

// The shipped profiles, and `profile` among them if it is a file.
absl::StatusOr<std::vector<MethodProfile>> ReadProfiles(
    const std::string& profile, const Bundle& bundle) {
  std::vector<MethodProfile> profiles = ShippedProfiles(bundle);
  if (absl::EndsWith(profile, ".json")) {
    OVDIFF_ASSIGN_OR_RETURN(MethodProfile own, ReadProfile(profile, bundle));
    profiles.push_back(std::move(own));
  }
  return profiles;
}

// The one that calls without a profile get.
absl::StatusOr<const MethodProfile*> ChooseProfile(
    const std::string& profile, const std::vector<MethodProfile>& profiles) {
  if (absl::EndsWith(profile, ".json")) {
    return &profiles.back();
  }
  std::vector<std::string> names;
  for (const MethodProfile& item : profiles) {
    if (item.name == profile && item.unavailable.empty()) {
      return &item;
    }
    if (item.name == profile) {
      return absl::InvalidArgumentError(absl::StrCat(
          "profile ", profile, " is not for this bundle: ", item.unavailable));
    }
    names.push_back(item.name);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no profile \"", profile, "\"; there are ",
      absl::StrJoin(names, ", "), ", or the path of a .json file"));
}

EngineInfo MakeInfo(const Bundle& bundle, const ComputeDevice& device,
                    std::vector<MethodProfile> profiles,
                    const MethodProfile& chosen) {
  EngineInfo info;
  info.device = device.name();
  info.device_name = device.description();
  info.bundle_name = bundle.name;
  info.bundle_license = bundle.license;
  for (const SpaceSpec& space : bundle.spaces) {
    info.spaces.push_back(space.name);
  }
  info.picture_size = bundle.picture_size;
  info.windows = bundle.windows;
  info.default_profile = chosen.name;
  info.generation = chosen.generation;
  info.prototype = chosen.prototype;
  info.segment = chosen.segment;
  info.profiles = std::move(profiles);
  return info;
}

// The bundle's own defaults are held to the limits of a request's options.
absl::Status ValidateBundleOptions(const Bundle& bundle) {
  for (const absl::Status& status : {ValidateOptions(bundle.generation),
                                     ValidateOptions(bundle.prototype, bundle),
                                     ValidateOptions(bundle.segment, bundle)}) {
    if (!status.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(bundle.folder, "/bundle.json: ", status.message()));
    }
  }
  return absl::OkStatus();
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(Bundle bundle, BundleDigests digests, EngineInfo info,
             std::unique_ptr<ComputeDevice> device,
             std::unique_ptr<ModelSet> models,
             std::unique_ptr<DeviceScheduler> scheduler, int batch_size)
      : bundle_(std::move(bundle)),
        digests_(std::move(digests)),
        info_(std::move(info)),
        device_(std::move(device)),
        models_(std::move(models)),
        scheduler_(std::move(scheduler)),
        painter_(*models_->diffusion, *device_, *scheduler_,
                 bundle_.picture_size),
        attributor_(*models_->diffusion, *device_, *scheduler_,
                    bundle_.picture_size),
        builder_(bundle_, *models_, *device_, *scheduler_, batch_size) {}

  // No work runs on what is destroyed next.
  ~EngineImpl() override { scheduler_->Stop(); }

  absl::Status Start(int64_t max_queued_windows) {
    OVDIFF_ASSIGN_OR_RETURN(
        segmenter_,
        Segmenter::Create(bundle_, *models_, *device_, *scheduler_,
                          std::min(kMaxPictureWindows, max_queued_windows)));
    return absl::OkStatus();
  }

  const EngineInfo& info() const override { return info_; }

  EngineStats stats() const override {
    const SchedulerStats scheduler = scheduler_->stats();
    EngineStats stats;
    stats.batches = segmenter_->matcher().batches();
    stats.batched_windows = segmenter_->matcher().windows();
    stats.denoising_steps = painter_.steps_done();
    stats.queued_tasks = scheduler.queued_tasks + scheduler.queued_bulk;
    stats.rejected_tasks = scheduler.rejected_tasks;
    stats.device_busy_seconds = scheduler.busy_seconds;
    return stats;
  }

  absl::Status Validate(const GenerationOptions& options) const override {
    OVDIFF_RETURN_IF_ERROR(ValidateOptions(options));
    return models_->diffusion
        ->PlanSteps(options.num_steps, options.final_sigmas_type)
        .status();
  }
  absl::Status Validate(const PrototypeOptions& options) const override {
    return ValidateOptions(options, bundle_);
  }
  absl::Status Validate(const SegmentOptions& options) const override {
    return ValidateOptions(options, bundle_);
  }

  absl::Status ValidatePrompt(const std::string& prompt,
                              const GenerationOptions& options) const override {
    OVDIFF_RETURN_IF_ERROR(Validate(options));
    return painter_.ValidatePrompt(prompt, options);
  }

  Sha256Digest GeneratorFingerprint(
      const GenerationOptions& options) const override {
    return engine::GeneratorFingerprint(bundle_, digests_,
                                        device_->dtype_name(), options);
  }
  Sha256Digest EncoderFingerprint(
      const PrototypeOptions& options) const override {
    return engine::EncoderFingerprint(bundle_, digests_, device_->dtype_name(),
                                      options);
  }

  absl::StatusOr<SupportSet> PaintSupportSet(
      const std::string& prompt, const GenerationOptions& options,
      const CallControl& control, const ProgressCallback& progress) override {
    OVDIFF_RETURN_IF_ERROR(ValidatePrompt(prompt, options));
    return painter_.Paint(prompt, options, control, progress);
  }

  absl::StatusOr<std::vector<AttributionMap>> AttributePictures(
      const std::string& prompt, absl::Span<const Image> pictures,
      const GenerationOptions& options, const CallControl& control) override {
    OVDIFF_RETURN_IF_ERROR(ValidatePrompt(prompt, options));
    return attributor_.Attribute(prompt, pictures, options, control);
  }

  absl::StatusOr<PrototypeSet> BuildPrototypeSet(
      const SupportSet& support, const PrototypeOptions& options,
      const CallControl& control, const ProgressCallback& progress) override {
    OVDIFF_RETURN_IF_ERROR(Validate(options));
    return builder_.Build(support, options, control, progress);
  }

  absl::StatusOr<std::vector<PictureMasks>> MakePictureMasks(
      const SupportSet& support, absl::Span<const int> wanted,
      const PrototypeOptions& options, const CallControl& control) override {
    OVDIFF_RETURN_IF_ERROR(Validate(options));
    return builder_.MakePictureMasks(support, wanted, options, control);
  }

  absl::StatusOr<std::vector<double>> CompareWithNames(
      const Image& picture, absl::Span<const std::string> names,
      const CallControl& control) override {
    return segmenter_->CompareWithNames(picture, names, control);
  }

  absl::StatusOr<std::shared_ptr<const LoadedPrototypes>> LoadPrototypes(
      const PrototypeSet& set) override {
    std::shared_ptr<const LoadedPrototypes> loaded;
    OVDIFF_RETURN_IF_ERROR(scheduler_->Run(
        [&] {
          return device_->ForEach(1, [&](int64_t) -> absl::Status {
            OVDIFF_ASSIGN_OR_RETURN(
                loaded,
                MatchablePrototypes::Load(set, *models_, device_->device()));
            return absl::OkStatus();
          });
        },
        CallControl()));
    return loaded;
  }

  absl::StatusOr<Segmentation> Segment(const Image& image,
                                       absl::Span<const SegmentClass> classes,
                                       const SegmentOptions& options,
                                       const CallControl& control) override {
    OVDIFF_RETURN_IF_ERROR(Validate(options));
    return segmenter_->Segment(image, classes, options, control);
  }

  absl::StatusOr<Explanation> Explain(const Image& image,
                                      absl::Span<const SegmentClass> classes,
                                      const SegmentOptions& options,
                                      const ExplainTarget& target,
                                      const CallControl& control) override {
    OVDIFF_RETURN_IF_ERROR(Validate(options));
    return segmenter_->Explain(image, classes, options, target, control);
  }

 private:
  const Bundle bundle_;
  const BundleDigests digests_;
  const EngineInfo info_;
  const std::unique_ptr<ComputeDevice> device_;
  const std::unique_ptr<ModelSet> models_;
  const std::unique_ptr<DeviceScheduler> scheduler_;
  SupportSetPainter painter_;
  PictureAttributor attributor_;
  PrototypeBuilder builder_;
  std::unique_ptr<Segmenter> segmenter_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    const EngineOptions& options) {
  OVDIFF_RETURN_IF_ERROR(ValidateEngineOptions(options));
  OVDIFF_ASSIGN_OR_RETURN(Bundle bundle, ReadBundle(options.bundle_path));
  OVDIFF_RETURN_IF_ERROR(ValidateBundleOptions(bundle));
  // The device before the weights: its errors need no gigabytes read.
  OVDIFF_ASSIGN_OR_RETURN(
      auto device, ComputeDevice::Create({.name = options.device,
                                          .num_threads = options.num_threads,
                                          .cuda_dtype = bundle.cuda_dtype}));
  OVDIFF_ASSIGN_OR_RETURN(std::vector<MethodProfile> profiles,
                          ReadProfiles(options.profile, bundle));
  OVDIFF_ASSIGN_OR_RETURN(const MethodProfile* chosen,
                          ChooseProfile(options.profile, profiles));
  const MethodProfile default_profile = *chosen;
  EngineInfo info =
      MakeInfo(bundle, *device, std::move(profiles), default_profile);
  OVDIFF_ASSIGN_OR_RETURN(BundleDigests digests, DigestBundle(bundle));
  OVDIFF_ASSIGN_OR_RETURN(auto models, ModelSet::Create(bundle, *device));
  DeviceSchedulerOptions scheduling;
  scheduling.max_batch = options.max_batch_windows;
  scheduling.max_queued = options.max_queued_windows;
  scheduling.max_batch_delay = options.max_batch_delay;
  scheduling.max_bulk_wait = options.max_bulk_wait;
  OVDIFF_ASSIGN_OR_RETURN(auto scheduler,
                          DeviceScheduler::Create(std::move(scheduling)));
  auto engine = std::make_unique<EngineImpl>(
      std::move(bundle), std::move(digests), std::move(info), std::move(device),
      std::move(models), std::move(scheduler), options.max_batch_windows);
  OVDIFF_RETURN_IF_ERROR(engine->Start(options.max_queued_windows));
  return engine;
}

}  // namespace ovdiff::engine
