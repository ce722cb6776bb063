// The vision tower of CLIP, with the dense features OVDiff takes from it.
// Reference: transformers 5.23, models/clip/modeling_clip.py; networks.md 2.
#ifndef OVDIFF_ENGINE_NN_CLIP_VISION_MODEL_H_
#define OVDIFF_ENGINE_NN_CLIP_VISION_MODEL_H_

#include <cstdint>

#include "engine/nn/clip_config.h"
#include "engine/nn/clip_encoder.h"
#include "engine/nn/position_interpolation.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/embedding.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

class CLIPVisionEmbeddingsImpl : public torch::nn::Module {
 public:
  explicit CLIPVisionEmbeddingsImpl(const CLIPVisionConfig& config);
  // [B, 3, H, W] -> [B, 1 + (H/p)*(W/p), D], divisions rounding down.
  torch::Tensor forward(const torch::Tensor& pixel_values,
                        PositionInterpolation rule);
  int64_t patch_size() const { return patch_size_; }

  torch::Tensor class_embedding;  // [D]
  torch::nn::Conv2d patch_embedding{nullptr};
  torch::nn::Embedding position_embedding{nullptr};

 private:
  int64_t patch_size_;
};
TORCH_MODULE(CLIPVisionEmbeddings);

// What stands under `vision_model.` in a checkpoint. Pixels are normalised by
// the caller; any size of at least one patch runs, square or not.
class CLIPVisionTransformerImpl : public torch::nn::Module {
 public:
  explicit CLIPVisionTransformerImpl(const CLIPVisionConfig& config);

  // All rows after the last layer, without post_layernorm:
  // [B, 3, H, W] -> [B, 1 + gh*gw, D].
  torch::Tensor forward(
      const torch::Tensor& pixel_values,
      PositionInterpolation rule = PositionInterpolation::kSize);
  // post_layernorm of the class token: [B, D].
  torch::Tensor Pool(const torch::Tensor& pixel_values,
                     PositionInterpolation rule = PositionInterpolation::kSize);
  // Keys of a layer, k_proj(layer_norm1(x)) with x its input, all heads side
  // by side and the class token dropped: [B, D, gh, gw]. `layer` may count from
  // the end (-1). The layer itself and later ones do not run.
  torch::Tensor PatchKeys(const torch::Tensor& pixel_values, int64_t layer,
                          PositionInterpolation rule);
  // Output of a layer, the class token dropped: [B, D, gh, gw].
  torch::Tensor PatchTokens(const torch::Tensor& pixel_values, int64_t layer,
                            PositionInterpolation rule);

  int64_t num_layers() const { return encoder->num_layers(); }
  int64_t patch_size() const { return embeddings->patch_size(); }

  CLIPVisionEmbeddings embeddings{nullptr};
  torch::nn::LayerNorm pre_layrnorm{nullptr};  // the checkpoint's spelling
  CLIPEncoder encoder{nullptr};
  torch::nn::LayerNorm post_layernorm{nullptr};

 private:
  torch::Tensor Embed(const torch::Tensor& pixel_values,
                      PositionInterpolation rule);
  torch::Tensor ToMap(const torch::Tensor& rows,
                      const torch::Tensor& pixel_values) const;
};
TORCH_MODULE(CLIPVisionTransformer);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CLIP_VISION_MODEL_H_
