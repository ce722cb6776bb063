// VisionTransformer: DINO's ViT, with the dense features OVDiff takes from it.
// Reference: facebookresearch/dino vision_transformer.py and timm's
// vision_transformer.py, whose names the keys are; networks.md 3.
#ifndef OVDIFF_ENGINE_NN_VISION_TRANSFORMER_H_
#define OVDIFF_ENGINE_NN_VISION_TRANSFORMER_H_

#include <cstdint>
#include <vector>

#include "engine/nn/position_interpolation.h"
#include "engine/nn/vision_transformer_config.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

class PatchEmbedImpl : public torch::nn::Module {
 public:
  explicit PatchEmbedImpl(const VisionTransformerConfig& config);
  // [B, 3, H, W] -> [B, D, H/p, W/p], divisions rounding down.
  torch::Tensor forward(const torch::Tensor& pixel_values);

  torch::nn::Conv2d proj{nullptr};
};
TORCH_MODULE(PatchEmbed);

class ViTAttentionImpl : public torch::nn::Module {
 public:
  explicit ViTAttentionImpl(const VisionTransformerConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden);  // [B, T, D] -> same
  // The middle third of qkv alone: [B, T, D] -> [B, T, D].
  torch::Tensor Keys(const torch::Tensor& hidden);

  torch::nn::Linear qkv{nullptr};  // rows: all of q, all of k, all of v
  torch::nn::Linear proj{nullptr};

 private:
  int64_t num_heads_;
};
TORCH_MODULE(ViTAttention);

class ViTMlpImpl : public torch::nn::Module {
 public:
  explicit ViTMlpImpl(const VisionTransformerConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden);  // [B, T, D] -> same

  torch::nn::Linear fc1{nullptr};
  torch::nn::Linear fc2{nullptr};
};
TORCH_MODULE(ViTMlp);

class LayerScaleImpl : public torch::nn::Module {
 public:
  explicit LayerScaleImpl(int64_t dim);
  torch::Tensor gamma;  // [D]
};
TORCH_MODULE(LayerScale);

class ViTBlockImpl : public torch::nn::Module {
 public:
  explicit ViTBlockImpl(const VisionTransformerConfig& config);
  // Writes the result over `hidden` [B, T, D] (inference only).
  void Advance(torch::Tensor& hidden);
  torch::Tensor Keys(const torch::Tensor& hidden);  // [B, T, D]

  torch::nn::LayerNorm norm1{nullptr};
  ViTAttention attn{nullptr};
  LayerScale ls1{nullptr};  // empty unless config.layer_scale
  torch::nn::LayerNorm norm2{nullptr};
  ViTMlp mlp{nullptr};
  LayerScale ls2{nullptr};
};
TORCH_MODULE(ViTBlock);

// Pixels are normalised by the caller; any size of at least one patch runs,
// square or not. Thread-compatible; a loaded model may run on several threads.
class VisionTransformerImpl : public torch::nn::Module {
 public:
  explicit VisionTransformerImpl(const VisionTransformerConfig& config);

  // timm's forward_features, the final norm included:
  // [B, 3, H, W] -> [B, 1 + gh*gw, D].
  torch::Tensor forward(
      const torch::Tensor& pixel_values,
      PositionInterpolation rule = PositionInterpolation::kScaleFactor);
  // Keys of a block, W_k norm1(x) + b_k with x its input, all heads side by
  // side and the class token dropped: [B, D, gh, gw]. `layer` may count from
  // the end (-1). Of that block only the keys are computed; later ones do not
  // run.
  torch::Tensor PatchKeys(
      const torch::Tensor& pixel_values, int64_t layer,
      PositionInterpolation rule = PositionInterpolation::kScaleFactor);
  // Output of a block before the final norm, class token dropped:
  // [B, D, gh, gw].
  torch::Tensor PatchTokens(
      const torch::Tensor& pixel_values, int64_t layer,
      PositionInterpolation rule = PositionInterpolation::kScaleFactor);

  int64_t num_layers() const { return static_cast<int64_t>(typed_.size()); }
  const VisionTransformerConfig& config() const { return config_; }

  torch::Tensor cls_token;  // [1, 1, D]
  torch::Tensor pos_embed;  // [1, 1 + g*g, D]
  PatchEmbed patch_embed{nullptr};
  torch::nn::ModuleList blocks{nullptr};
  torch::nn::LayerNorm norm{nullptr};

 private:
  torch::Tensor Embed(const torch::Tensor& pixel_values,
                      PositionInterpolation rule);
  // Embeds and runs blocks 0…num_layers-1.
  torch::Tensor Advance(const torch::Tensor& pixel_values, int64_t num_layers,
                        PositionInterpolation rule);
  torch::Tensor ToMap(const torch::Tensor& rows,
                      const torch::Tensor& pixel_values) const;

  VisionTransformerConfig config_;
  std::vector<ViTBlock> typed_;
};
TORCH_MODULE(VisionTransformer);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_VISION_TRANSFORMER_H_
