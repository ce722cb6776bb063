#include "engine/pipeline/clip_agreement.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/base/status_macros.h"
#include "engine/ops/resample.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/prompt_tokens.h"
#include "torch/torch.h"

namespace ovdiff::engine {

absl::StatusOr<Image> SquashForClip(const Image& image,
                                    const PrefilterSpec& spec) {
  const ImageSize square = {spec.intermediate_size, spec.intermediate_size};
  return ResizeImage(image, square, ResampleFilter::kLanczos);
}

torch::Tensor EmbedForClip(const Image& squashed, const PrefilterSpec& spec,
                           const ModelSet& models, torch::Device device) {
  torch::Tensor pixels = ToTensor(squashed);
  if (spec.input_size != spec.intermediate_size) {
    pixels =
        torch::upsample_bilinear2d(pixels, {spec.input_size, spec.input_size},
                                   /*align_corners=*/false);
  }
  pixels = Normalize(pixels.to(device), spec.normalization);
  return models.prefilter->EmbedImages(pixels)[0];
}

absl::StatusOr<torch::Tensor> EmbedTextForClip(const std::string& text,
                                               const ModelSet& models) {
  OVDIFF_ASSIGN_OR_RETURN(auto ids,
                          UnpaddedIds(*models.prefilter_tokenizer, text,
                                      models.prefilter->context_length()));
  return models.prefilter->EmbedTexts({std::move(ids)})[0];
}

std::vector<int64_t> LeastAlike(absl::Span<const double> cosines,
                                double share) {
  std::vector<int64_t> order(cosines.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return cosines[a] != cosines[b] ? cosines[a] < cosines[b] : a > b;
  });
  const auto may_go = std::count_if(cosines.begin(), cosines.end(),
                                    [](double c) { return c != kNeverPruned; });
  order.resize(
      static_cast<size_t>(std::floor(share * static_cast<double>(may_go))));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace ovdiff::engine
