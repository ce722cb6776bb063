#include "engine/pipeline/prototype_builder.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/validate_options.h"
#include "engine/ops/kmeans.h"
#include "engine/pipeline/clip_agreement.h"
#include "engine/pipeline/picture_input.h"
#include "engine/pipeline/prototype_vectors.h"
#include "engine/pipeline/support_cells.h"
#include "engine/pipeline/support_masks.h"
#include "engine/runners/picture_tensor.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// One side of one space: its cells, and what is made of them.
struct Side {
  const CellRows* cells = nullptr;
  std::unique_ptr<KMeansSolver> solver;  // Null for an empty side.
  PrototypeVectors vectors;

  bool clustering() const { return solver != nullptr && !solver->done(); }
};

// [side, side] bool on the CPU, row-major.
std::vector<uint8_t> ToBytes(const torch::Tensor& mask) {
  const torch::Tensor bytes = mask.to(torch::kUInt8).contiguous();
  const uint8_t* data = bytes.data_ptr<uint8_t>();
  return {data, data + bytes.numel()};
}

}  // namespace

// One call of Build(): its state between quanta.
class PrototypeBuilder::Job {
 public:
  Job(PrototypeBuilder& builder, const SupportSet& support,
      const PrototypeOptions& options, const CallControl& control,
      const ProgressCallback& progress)
      : builder_(builder),
        support_(support),
        options_(options),
        control_(control),
        progress_(progress) {
    state_.num_pictures = static_cast<int>(support.pictures.size());
  }

  absl::StatusOr<PrototypeSet> Run() {
    const bool prunes =
        options_.prune_share > 0 &&
        std::any_of(support_.pictures.begin(), support_.pictures.end(),
                    [](const SupportPicture& p) { return p.mask.empty(); });
    if (prunes && support_.prompt.empty()) {
      return absl::InvalidArgumentError(
          "prototype.prune_share needs the support set's prompt");
    }
    OVDIFF_RETURN_IF_ERROR(FindMasks());
    if (prunes) {
      OVDIFF_RETURN_IF_ERROR(Prune());
    }
    PrepareSpaces();
    Report(BuildStage::kEncoding, 0);
    OVDIFF_RETURN_IF_ERROR(Encode());
    Report(BuildStage::kClustering, 0);
    OVDIFF_RETURN_IF_ERROR(Cluster());
    Report(BuildStage::kClustering, state_.num_pictures);
    return Result();
  }

  // The masks alone, of the pictures `wanted`. Thresholds are of all pictures;
  // objects, which cost, are found in these only.
  absl::StatusOr<std::vector<PictureMasks>> RunMasks(
      absl::Span<const int> wanted) {
    looked_at_.emplace(wanted.begin(), wanted.end());
    OVDIFF_RETURN_IF_ERROR(FindMasks());
    std::vector<PictureMasks> result;
    for (const int picture : wanted) {
      result.push_back(
          {.side = builder_.bundle_.picture_size,
           .foreground = ToBytes(masks_.masks.foreground[picture]),
           .background = ToBytes(masks_.masks.background[picture])});
    }
    return result;
  }

 private:
  absl::Status FindMasks() {
    for (const SupportPicture& picture : support_.pictures) {
      OVDIFF_RETURN_IF_ERROR(CheckImage(picture.image));
    }
    const MaskProposer* proposer =
        builder_.models_.FindProposer(options_.mask_source);
    if (proposer != nullptr) {
      OVDIFF_RETURN_IF_ERROR(Propose(*proposer));
    }
    return Quantum([this] { return MakeMasks(); });
  }

  // One quantum; torch's exceptions become its status.
  absl::Status Quantum(absl::FunctionRef<absl::Status()> work) {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    return builder_.scheduler_.RunBulk(
        [&] {
          return builder_.device_.ForEach(1, [&](int64_t) { return work(); });
        },
        control_);
  }

  void Report(BuildStage stage, int pictures_done) {
    state_.stage = stage;
    state_.pictures_done = pictures_done;
    if (progress_) {
      progress_(state_);
    }
  }

  // work(i) for each picture: a batch of them on the CPU's lanes; on CUDA,
  // where they run one after the other, a quantum each.
  absl::Status ForEachPicture(absl::FunctionRef<absl::Status(int64_t)> work) {
    ComputeDevice& device = builder_.device_;
    const int at_once = device.device().is_cpu() ? builder_.batch_size_ : 1;
    for (int first = 0; first < state_.num_pictures; first += at_once) {
      const int count = std::min(at_once, state_.num_pictures - first);
      OVDIFF_RETURN_IF_ERROR(control_.Check());
      OVDIFF_RETURN_IF_ERROR(builder_.scheduler_.RunBulk(
          [&] {
            return device.ForEach(count,
                                  [&](int64_t i) { return work(first + i); });
          },
          control_));
    }
    return absl::OkStatus();
  }

  // For pictures that came without a mask.
  absl::Status Propose(const MaskProposer& proposer) {
    proposals_.resize(support_.pictures.size());
    return ForEachPicture([&](int64_t i) -> absl::Status {
      if (!support_.pictures[i].mask.empty()) {
        return absl::OkStatus();
      }
      if (looked_at_.has_value() &&
          !looked_at_->contains(static_cast<int>(i))) {
        proposals_[i] = torch::zeros({0, 1, 1}, torch::kBool);
        return absl::OkStatus();
      }
      OVDIFF_ASSIGN_OR_RETURN(
          proposals_[i],
          proposer.Propose(support_.pictures[i].image, options_));
      return absl::OkStatus();
    });
  }

  // Takes the masks from the pictures that CLIP finds least like the class; a
  // picture without a foreground has no part in the set. Thresholds have been
  // taken over all pictures before. Pictures that came with a mask stay.
  absl::Status Prune() {
    const PrefilterSpec& spec = builder_.bundle_.prefilter;
    torch::Tensor text;
    OVDIFF_RETURN_IF_ERROR(Quantum([&]() -> absl::Status {
      OVDIFF_ASSIGN_OR_RETURN(
          text, EmbedTextForClip(absl::StrCat("a ", support_.prompt),
                                 builder_.models_));
      return absl::OkStatus();
    }));
    std::vector<double> cosines(support_.pictures.size(), kNeverPruned);
    OVDIFF_RETURN_IF_ERROR(ForEachPicture([&](int64_t i) -> absl::Status {
      if (!support_.pictures[i].mask.empty()) {
        return absl::OkStatus();
      }
      OVDIFF_ASSIGN_OR_RETURN(const Image squashed,
                              SquashForClip(support_.pictures[i].image, spec));
      cosines[i] = EmbedForClip(squashed, spec, builder_.models_,
                                builder_.device_.device())
                       .dot(text)
                       .item<double>();
      return std::isfinite(cosines[i])
                 ? absl::OkStatus()
                 : absl::InternalError(absl::StrCat(
                       "CLIP's similarity of support picture ", i, " to \"a ",
                       support_.prompt, "\" is not finite"));
    }));
    return Quantum([&] {
      for (const int64_t i : LeastAlike(cosines, options_.prune_share)) {
        masks_.masks.foreground[i].zero_();
        masks_.masks.background[i].zero_();
      }
      return absl::OkStatus();
    });
  }

  absl::Status MakeMasks() {
    const int side = builder_.bundle_.picture_size;
    OVDIFF_ASSIGN_OR_RETURN(
        masks_, proposals_.empty()
                    ? MakeSupportMasks(support_, options_, side)
                    : ChooseSupportMasks(support_, proposals_, options_, side));
    return absl::OkStatus();
  }

  void PrepareSpaces() {
    const torch::Tensor given =
        torch::empty({state_.num_pictures, 1}, torch::kBool);
    std::transform(support_.pictures.begin(), support_.pictures.end(),
                   given.data_ptr<bool>(), [](const SupportPicture& picture) {
                     return !picture.mask.empty();
                   });
    for (const std::string& name :
         ResolveSpaces(options_.spaces, builder_.bundle_)) {
      extractors_.push_back(builder_.models_.FindSpace(name));
      spaces_.emplace_back(name, masks_.masks, given, options_);
    }
  }

  absl::Status Encode() {
    const int pictures = state_.num_pictures;
    for (int first = 0; first < pictures; first += builder_.batch_size_) {
      const int count = std::min(builder_.batch_size_, pictures - first);
      for (size_t space = 0; space < spaces_.size(); ++space) {
        OVDIFF_RETURN_IF_ERROR(EncodeBatch(space, first, count));
      }
      Report(BuildStage::kEncoding, first + count);
    }
    return absl::OkStatus();
  }

  absl::Status EncodeBatch(size_t space, int first, int count) {
    const FeatureExtractor& extractor = *extractors_[space];
    std::vector<Image> inputs(count);
    for (int i = 0; i < count; ++i) {
      OVDIFF_ASSIGN_OR_RETURN(
          inputs[i], NetworkInput(support_.pictures[first + i].image,
                                  extractor.spec().support,
                                  static_cast<int>(extractor.min_side())));
    }
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    return builder_.scheduler_.RunBulk(
        [&] { return EncodeOnDevice(space, first, inputs); }, control_);
  }

  absl::Status EncodeOnDevice(size_t space, int first,
                              const std::vector<Image>& inputs) {
    ComputeDevice& device = builder_.device_;
    const auto count = static_cast<int64_t>(inputs.size());
    const int64_t per_call = device.samples_per_call(count);
    std::vector<torch::Tensor> features((count + per_call - 1) / per_call);
    OVDIFF_RETURN_IF_ERROR(device.ForEach(
        static_cast<int64_t>(features.size()), [&](int64_t call) {
          std::vector<torch::Tensor> images;
          for (int64_t i = call * per_call;
               i < std::min(count, (call + 1) * per_call); ++i) {
            images.push_back(ToTensor(inputs[i]));
          }
          features[call] = extractors_[space]->Extract(
              torch::cat(images).to(device.device()),
              {.seed = options_.noise_seed, .shared = options_.shared_noise});
          return absl::OkStatus();
        }));
    return device.ForEach(1, [&](int64_t) {
      for (int64_t i = 0; i < count; ++i) {
        OVDIFF_RETURN_IF_ERROR(spaces_[space].Add(
            first + i, features[i / per_call][i % per_call]));
      }
      return absl::OkStatus();
    });
  }

  absl::Status Cluster() {
    OVDIFF_RETURN_IF_ERROR(Quantum([this] { return StartSides(); }));
    const auto clustering = [](const Side& side) { return side.clustering(); };
    while (std::any_of(sides_.begin(), sides_.end(), clustering)) {
      OVDIFF_RETURN_IF_ERROR(control_.Check());
      OVDIFF_RETURN_IF_ERROR(builder_.scheduler_.RunBulk(
          [this] {
            return builder_.device_.ForEach(
                static_cast<int64_t>(sides_.size()), [this](int64_t i) {
                  return sides_[i].clustering() ? sides_[i].solver->Step()
                                                : absl::OkStatus();
                });
          },
          control_));
    }
    return Quantum([this] {
      for (Side& side : sides_) {
        if (side.solver != nullptr) {
          AppendParts(*side.cells, side.solver->TakeResult(), &side.vectors);
        }
      }
      return absl::OkStatus();
    });
  }

  absl::Status StartSides() {
    for (const SupportCells& space : spaces_) {
      for (const CellRows* cells : {&space.foreground(), &space.background()}) {
        Side side;
        side.cells = cells;
        if (cells->count() > 0) {
          AppendMeans(*cells, &side.vectors);
          OVDIFF_ASSIGN_OR_RETURN(
              side.solver, KMeansSolver::Create(
                               cells->rows, {.num_clusters = options_.num_parts,
                                             .max_iterations =
                                                 options_.kmeans_max_iterations,
                                             .seed = options_.kmeans_seed,
                                             .initial_centres = {}}));
        }
        sides_.push_back(std::move(side));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<PrototypeSet> Result() {
    PrototypeSet set;
    for (size_t i = 0; i < spaces_.size(); ++i) {
      FeatureSpacePrototypes space;
      space.space = spaces_[i].space();
      space.dim = static_cast<int32_t>(spaces_[i].foreground().rows.size(1));
      space.foreground = std::move(sides_[2 * i].vectors);
      space.background = std::move(sides_[2 * i + 1].vectors);
      for (const PrototypeVectors* side :
           {&space.foreground, &space.background}) {
        for (const float value : side->values) {
          if (!std::isfinite(value)) {
            return absl::InternalError(absl::StrCat(
                "space ", space.space, ": a prototype is not finite"));
          }
        }
      }
      set.spaces.push_back(std::move(space));
    }
    return set;
  }

  PrototypeBuilder& builder_;
  const SupportSet& support_;
  const PrototypeOptions& options_;
  const CallControl& control_;
  const ProgressCallback& progress_;
  BuildProgress state_;
  std::optional<std::set<int>> looked_at_;  // Not set: all pictures.
  std::vector<torch::Tensor> proposals_;  // By picture; empty if none are made.
  SupportMasks masks_;
  std::vector<const FeatureExtractor*> extractors_;
  std::vector<SupportCells> spaces_;
  std::vector<Side> sides_;  // Foreground and background of each space.
};

absl::StatusOr<PrototypeSet> PrototypeBuilder::Build(
    const SupportSet& support, const PrototypeOptions& options,
    const CallControl& control, const ProgressCallback& progress) {
  Job job(*this, support, options, control, progress);
  return job.Run();
}

absl::StatusOr<std::vector<PictureMasks>> PrototypeBuilder::MakePictureMasks(
    const SupportSet& support, absl::Span<const int> wanted,
    const PrototypeOptions& options, const CallControl& control) {
  const auto count = static_cast<int>(support.pictures.size());
  for (const int index : wanted) {
    if (index < 0 || index >= count) {
      return absl::InvalidArgumentError(absl::StrCat(
          "picture ", index, " is not in the support set, which has ", count));
    }
  }
  const ProgressCallback no_progress;
  return Job(*this, support, options, control, no_progress).RunMasks(wanted);
}

}  // namespace ovdiff::engine
