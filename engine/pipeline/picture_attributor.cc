#include "engine/pipeline/picture_attributor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/picture_input.h"
#include "engine/runners/noise.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/prompt_tokens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Shares of the training timesteps that pictures are noised to. Below them the
// model mends texture, above them it sees little of the picture.
constexpr std::array<double, 3> kNoiseLevels = {0.2, 0.4, 0.6};

AttributionMap ToMap(const torch::Tensor& values) {
  AttributionMap map;
  map.height = static_cast<int>(values.size(0));
  map.width = static_cast<int>(values.size(1));
  const float* data = values.data_ptr<float>();
  map.data.assign(data, data + values.numel());
  return map;
}

}  // namespace

// One call of Attribute(): its state between quanta.
class PictureAttributor::Job {
 public:
  Job(PictureAttributor& attributor, absl::Span<const Image> pictures,
      const GenerationOptions& options, const CallControl& control,
      PromptTokens tokens)
      : attributor_(attributor),
        pictures_(pictures),
        options_(options),
        control_(control),
        tokens_(std::move(tokens)),
        maps_(pictures.size()) {}

  absl::StatusOr<std::vector<AttributionMap>> Run() {
    OVDIFF_RETURN_IF_ERROR(Quantum(1, [this](int64_t) { return Prepare(); }));
    const auto batch = static_cast<size_t>(options_.batch_size);
    for (size_t first = 0; first < pictures_.size(); first += batch) {
      OVDIFF_RETURN_IF_ERROR(
          AttributeBatch(first, std::min(batch, pictures_.size() - first)));
    }
    return std::move(maps_);
  }

 private:
  // Pictures that share their network calls.
  struct Portion {
    size_t first = 0;  // Of the job's pictures.
    std::vector<Image> inputs;
    torch::Tensor latents;
    AttributionCollector attribution;
  };

  // A task per portion, or `count` of them.
  absl::Status Quantum(int64_t count,
                       absl::FunctionRef<absl::Status(int64_t)> task) {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    return attributor_.scheduler_.RunBulk(
        [&] { return attributor_.device_.ForEach(count, task); }, control_);
  }

  absl::Status Prepare() {
    const StableDiffusionRunner& runner = attributor_.runner_;
    text_ = runner.EncodeText(tokens_.ids);
    NoiseSource source(options_.seed);
    const int64_t side = attributor_.picture_size_ / runner.downscale();
    for (size_t level = 0; level < kNoiseLevels.size(); ++level) {
      noise_.push_back(source.Draw({1, runner.latent_channels(), side, side},
                                   torch::kFloat32));
    }
    return absl::OkStatus();
  }

  absl::Status AttributeBatch(size_t first, size_t count) {
    const StableDiffusionRunner& runner = attributor_.runner_;
    OVDIFF_ASSIGN_OR_RETURN(std::vector<Portion> portions,
                            MakePortions(first, count));
    const auto num_portions = static_cast<int64_t>(portions.size());
    OVDIFF_RETURN_IF_ERROR(Quantum(num_portions, [&](int64_t i) {
      std::vector<torch::Tensor> images;
      for (const Image& input : portions[i].inputs) {
        images.push_back(ToTensor(input));
      }
      portions[i].latents = runner.EncodeMean(
          torch::cat(images).to(attributor_.device_.device()));
      return absl::OkStatus();
    }));
    for (size_t level = 0; level < kNoiseLevels.size(); ++level) {
      const auto timestep = static_cast<int64_t>(
          kNoiseLevels[level] *
          static_cast<double>(runner.schedule().num_train_timesteps()));
      OVDIFF_RETURN_IF_ERROR(Quantum(num_portions, [&](int64_t i) {
        runner.Attend(portions[i].latents, noise_[level], timestep, text_,
                      &portions[i].attribution);
        return absl::OkStatus();
      }));
    }
    return Quantum(num_portions, [&](int64_t i) { return Keep(portions[i]); });
  }

  absl::StatusOr<std::vector<Portion>> MakePortions(size_t first,
                                                    size_t count) const {
    const auto per_call = static_cast<size_t>(
        attributor_.device_.samples_per_call(static_cast<int64_t>(count)));
    const InputSize squash{.fit = InputSize::Fit::kSquash,
                           .size = attributor_.picture_size_};
    std::vector<Portion> portions;
    for (size_t i = 0; i < count; ++i) {
      if (i % per_call == 0) {
        portions.push_back(
            {.first = first + i,
             .inputs = {},
             .latents = {},
             .attribution = attributor_.runner_.NewAttribution(
                 tokens_.class_columns, options_.self_attention_rounds)});
      }
      OVDIFF_ASSIGN_OR_RETURN(
          Image input,
          NetworkInput(pictures_[first + i], squash, /*min_side=*/1));
      portions.back().inputs.push_back(std::move(input));
    }
    return portions;
  }

  absl::Status Keep(const Portion& portion) {
    const torch::Tensor maps = portion.attribution.Finish()
                                   .to(torch::kCPU, torch::kFloat32)
                                   .contiguous();
    for (int64_t i = 0; i < maps.size(0); ++i) {
      const size_t picture = portion.first + static_cast<size_t>(i);
      if (!maps[i].isfinite().all().item<bool>()) {
        return absl::InternalError(
            absl::StrCat("the attribution of given picture ", picture,
                         " is not finite; the weights or their precision do "
                         "not suit"));
      }
      maps_[picture] = ToMap(maps[i].contiguous());
    }
    return absl::OkStatus();
  }

  PictureAttributor& attributor_;
  const absl::Span<const Image> pictures_;
  const GenerationOptions& options_;
  const CallControl& control_;
  const PromptTokens tokens_;
  std::vector<AttributionMap> maps_;
  torch::Tensor text_;                // [1, T, D]
  std::vector<torch::Tensor> noise_;  // By level: [1, C, h, w].
};

absl::StatusOr<std::vector<AttributionMap>> PictureAttributor::Attribute(
    const std::string& prompt, absl::Span<const Image> pictures,
    const GenerationOptions& options, const CallControl& control) {
  for (const Image& picture : pictures) {
    OVDIFF_RETURN_IF_ERROR(CheckImage(picture));
  }
  OVDIFF_ASSIGN_OR_RETURN(
      PromptTokens tokens,
      TokenizePrompt(runner_.tokenizer(), options.prompt_template, prompt,
                     runner_.context_length()));
  return Job(*this, pictures, options, control, std::move(tokens)).Run();
}

}  // namespace ovdiff::engine
