// UNet2DConditionModel: the denoiser of Stable Diffusion 1.x and 2.x (diffusers
// models/unets/unet_2d_condition.py, 0.42), from its own config. Registered
// names equal the checkpoint's.
#ifndef OVDIFF_ENGINE_NN_UNET_2D_CONDITION_H_
#define OVDIFF_ENGINE_NN_UNET_2D_CONDITION_H_

#include <memory>
#include <vector>

#include "engine/nn/attention_observer.h"
#include "engine/nn/embeddings.h"
#include "engine/nn/unet_2d_blocks.h"
#include "engine/nn/unet_2d_condition_config.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/normalization.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-compatible: concurrent forwards are safe, they change nothing. Call
// under torch::InferenceMode.
class UNet2DConditionModelImpl : public torch::nn::Module {
 public:
  explicit UNet2DConditionModelImpl(const UNet2DConditionConfig& config);

  // Predicts noise (or v), in the weights' type, on the weights' device.
  //   sample     [B, in_channels, h, w]; any h, w: they need not divide by the
  //              number of downsamplings
  //   timesteps  [B] or [1], any number type
  //   encoder_hidden_states  [R, tokens, cross_attention_dim]; R divides B, and
  //              sample rows r*B/R to (r+1)*B/R - 1 share text row r. Under
  //              guidance of one prompt: R = 2, [unconditional; conditional]
  //   observer   null or what to report; must outlive the call
  // -> [B, out_channels, h, w], or undefined if the observer ends the forward.
  // Throws c10::Error on shapes that do not fit.
  torch::Tensor forward(const torch::Tensor& sample,
                        const torch::Tensor& timesteps,
                        const torch::Tensor& encoder_hidden_states,
                        const AttentionObserver* observer = nullptr);

  const UNet2DConditionConfig& config() const { return config_; }
  // In execution order; the index is the observer's layer number.
  const std::vector<CrossAttentionLayer>& cross_attention_layers() const {
    return cross_attention_layers_;
  }

  torch::nn::Conv2d conv_in{nullptr};
  TimestepEmbedding time_embedding{nullptr};
  torch::nn::ModuleList down_blocks{nullptr};
  torch::nn::ModuleList up_blocks{nullptr};
  UNetMidBlock2DCrossAttn mid_block{nullptr};
  torch::nn::GroupNorm conv_norm_out{nullptr};
  torch::nn::Conv2d conv_out{nullptr};

 private:
  UNetBlockOptions CommonBlockOptions(size_t resolution) const;
  void AddDownBlocks();
  void AddUpBlocks();
  void ListCrossAttentionLayers();
  torch::Tensor EmbedTime(const torch::Tensor& timesteps, int64_t batch);
  torch::Tensor RunBlocks(const torch::Tensor& sample, const UNetStep& step);

  UNet2DConditionConfig config_;
  std::vector<std::shared_ptr<UNetDownBlock>> down_blocks_;
  std::vector<std::shared_ptr<UNetUpBlock>> up_blocks_;
  std::vector<CrossAttentionLayer> cross_attention_layers_;
};
TORCH_MODULE(UNet2DConditionModel);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_UNET_2D_CONDITION_H_
