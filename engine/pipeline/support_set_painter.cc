#include "engine/pipeline/support_set_painter.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/runners/noise.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/prompt_tokens.h"
#include "torch/torch.h"

namespace ovdiff::engine {

// One call of Paint(): its state between quanta.
class SupportSetPainter::Job {
 public:
  Job(SupportSetPainter& painter, const std::string& prompt,
      const GenerationOptions& options, const CallControl& control,
      const ProgressCallback& progress, PromptTokens tokens, DpmSolverRun plan)
      : painter_(painter),
        options_(options),
        control_(control),
        progress_(progress),
        tokens_(std::move(tokens)),
        plan_(std::move(plan)),
        noise_(options.seed) {
    state_.num_pictures = options.num_pictures;
    state_.num_steps = int64_t{options.num_pictures} * options.num_steps;
    support_.prompt = prompt;
    support_.pictures.resize(options.num_pictures);
  }

  absl::StatusOr<SupportSet> Run() {
    Report(BuildStage::kPainting);
    OVDIFF_RETURN_IF_ERROR(Quantum([this] { return EncodeTexts(); }));
    for (int first = 0; first < options_.num_pictures;
         first += options_.batch_size) {
      const int count =
          std::min(options_.batch_size, options_.num_pictures - first);
      OVDIFF_RETURN_IF_ERROR(PaintBatch(count));
      OVDIFF_RETURN_IF_ERROR(
          Quantum([this, first] { return DecodeBatch(first); }));
      state_.pictures_done += count;
      Report(BuildStage::kDecoding);
    }
    return std::move(support_);
  }

 private:
  absl::Status Quantum(absl::FunctionRef<absl::Status()> work) {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    return painter_.scheduler_.RunBulk(work, control_);
  }

  void Report(BuildStage stage) {
    state_.stage = stage;
    if (progress_) {
      progress_(state_);
    }
  }

  absl::Status EncodeTexts() {
    const bool guided = options_.guidance_scale > 1;
    return painter_.device_.ForEach(
        guided ? 2 : 1, [&](int64_t i) -> absl::Status {
          if (i == 0) {
            conditional_ = painter_.runner_.EncodeText(tokens_.ids);
          } else {
            OVDIFF_ASSIGN_OR_RETURN(
                const std::vector<int64_t> ids,
                PaddedIds(painter_.runner_.tokenizer(),
                          options_.negative_prompt,
                          painter_.runner_.context_length()));
            unconditional_ = painter_.runner_.EncodeText(ids);
          }
          return absl::OkStatus();
        });
  }

  // The next `count` pictures, in calls of as many as may share one.
  void StartBatch(int count) {
    const auto per_call =
        static_cast<int>(painter_.device_.samples_per_call(count));
    const int64_t side = painter_.picture_size_ / painter_.runner_.downscale();
    const torch::Dtype dtype =
        options_.noise_dtype == "float16" ? torch::kFloat16 : torch::kFloat32;
    runs_.clear();
    for (int first = 0; first < count; first += per_call) {
      std::vector<torch::Tensor> draws;
      for (int i = first; i < std::min(first + per_call, count); ++i) {
        draws.push_back(noise_.Draw(
            {1, painter_.runner_.latent_channels(), side, side}, dtype));
      }
      runs_.push_back(painter_.runner_.StartDenoising(
          plan_, {.latents = torch::cat(draws),
                  .conditional = conditional_,
                  .unconditional = unconditional_,
                  .guidance_scale = options_.guidance_scale,
                  .token_columns = tokens_.class_columns,
                  .self_attention_rounds = options_.self_attention_rounds}));
    }
  }

  absl::Status PaintBatch(int count) {
    for (int step = 0; step < options_.num_steps; ++step) {
      OVDIFF_RETURN_IF_ERROR(Quantum([&]() -> absl::Status {
        if (step == 0) {
          OVDIFF_RETURN_IF_ERROR(painter_.device_.ForEach(1, [&](int64_t) {
            StartBatch(count);
            return absl::OkStatus();
          }));
        }
        ++painter_.steps_done_;
        return painter_.device_.ForEach(static_cast<int64_t>(runs_.size()),
                                        [&](int64_t i) {
                                          runs_[i].Step();
                                          return absl::OkStatus();
                                        });
      }));
      state_.steps_done += count;
      Report(BuildStage::kPainting);
    }
    return absl::OkStatus();
  }

  absl::Status DecodeBatch(int first) {
    const int64_t per_run = runs_.front().latents().size(0);
    const absl::Status status = painter_.device_.ForEach(
        static_cast<int64_t>(runs_.size()), [&](int64_t i) {
          const torch::Tensor images =
              painter_.runner_.Decode(runs_[i].latents());
          return Keep(images, runs_[i].Attribution(), first + i * per_run);
        });
    runs_.clear();
    return status;
  }

  absl::Status Keep(const torch::Tensor& images, const torch::Tensor& maps,
                    int64_t first) {
    const torch::Tensor attribution =
        maps.to(torch::kCPU, torch::kFloat32).contiguous();
    for (int64_t i = 0; i < images.size(0); ++i) {
      if (!images[i].isfinite().all().item<bool>() ||
          !attribution[i].isfinite().all().item<bool>()) {
        return absl::InternalError(absl::StrCat(
            "picture ", first + i,
            " of the support set has values that are "
            "not finite; the weights or their precision do not suit"));
      }
      SupportPicture& picture = support_.pictures[first + i];
      picture.image = ToImage(images[i]);
      AttributionMap& map = picture.attribution;
      map.height = static_cast<int>(attribution.size(1));
      map.width = static_cast<int>(attribution.size(2));
      const float* data = attribution[i].data_ptr<float>();
      map.data.assign(data, data + attribution[i].numel());
    }
    return absl::OkStatus();
  }

  SupportSetPainter& painter_;
  const GenerationOptions& options_;
  const CallControl& control_;
  const ProgressCallback& progress_;
  const PromptTokens tokens_;
  const DpmSolverRun plan_;
  NoiseSource noise_;
  BuildProgress state_;
  SupportSet support_;
  torch::Tensor conditional_;
  torch::Tensor unconditional_;  // Undefined without guidance.
  std::vector<DenoisingRun> runs_;
};

absl::Status SupportSetPainter::ValidatePrompt(
    const std::string& prompt, const GenerationOptions& options) const {
  return TokenizePrompt(runner_.tokenizer(), options.prompt_template, prompt,
                        runner_.context_length())
      .status();
}

absl::StatusOr<SupportSet> SupportSetPainter::Paint(
    const std::string& prompt, const GenerationOptions& options,
    const CallControl& control, const ProgressCallback& progress) {
  OVDIFF_ASSIGN_OR_RETURN(
      PromptTokens tokens,
      TokenizePrompt(runner_.tokenizer(), options.prompt_template, prompt,
                     runner_.context_length()));
  OVDIFF_ASSIGN_OR_RETURN(
      DpmSolverRun plan,
      runner_.PlanSteps(options.num_steps, options.final_sigmas_type));
  Job job(*this, prompt, options, control, progress, std::move(tokens),
          std::move(plan));
  return job.Run();
}

}  // namespace ovdiff::engine
