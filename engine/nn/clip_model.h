// CLIPModel: both towers and their projections into one space.
// Reference: transformers 5.23, models/clip/modeling_clip.py; networks.md 2.
#ifndef OVDIFF_ENGINE_NN_CLIP_MODEL_H_
#define OVDIFF_ENGINE_NN_CLIP_MODEL_H_

#include "engine/nn/clip_config.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/clip_vision_model.h"
#include "engine/nn/position_interpolation.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-compatible; a loaded model may run on several threads.
class CLIPModelImpl : public torch::nn::Module {
 public:
  explicit CLIPModelImpl(const CLIPConfig& config);

  // transformers' get_text_features: [B, T] int64 ids -> [B, projection_dim],
  // not normalised.
  torch::Tensor TextFeatures(const torch::Tensor& input_ids);
  // transformers' get_image_features: [B, 3, H, W], normalised pixels ->
  // [B, projection_dim], not normalised to length one.
  torch::Tensor ImageFeatures(
      const torch::Tensor& pixel_values,
      PositionInterpolation rule = PositionInterpolation::kSize);
  // logits_per_image [images, texts] = exp(logit_scale) * cosine similarity, of
  // features as the two functions above return them.
  torch::Tensor LogitsPerImage(const torch::Tensor& image_features,
                               const torch::Tensor& text_features) const;

  const CLIPConfig& config() const { return config_; }

  torch::Tensor logit_scale;  // scalar, a logarithm
  CLIPTextTransformer text_model{nullptr};
  CLIPVisionTransformer vision_model{nullptr};
  torch::nn::Linear visual_projection{nullptr};
  torch::nn::Linear text_projection{nullptr};

 private:
  CLIPConfig config_;
};
TORCH_MODULE(CLIPModel);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CLIP_MODEL_H_
