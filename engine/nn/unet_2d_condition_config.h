// UNet2DConditionConfig: the part of diffusers' UNet2DConditionModel
// config.json that is implemented, with its field names.
#ifndef OVDIFF_ENGINE_NN_UNET_2D_CONDITION_CONFIG_H_
#define OVDIFF_ENGINE_NN_UNET_2D_CONDITION_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

// Lists with one entry per resolution run from the first down block on; up
// blocks read them backwards, the mid block takes the last entry.
struct UNet2DConditionConfig {
  int64_t sample_size = 64;  // latent side it was trained at; any size runs
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  bool flip_sin_to_cos = true;
  int64_t freq_shift = 0;
  std::vector<std::string> down_block_types = {
      "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
      "DownBlock2D"};
  std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D",
                                             "CrossAttnUpBlock2D",
                                             "CrossAttnUpBlock2D"};
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block = {2, 2, 2, 2};
  std::vector<int64_t> transformer_layers_per_block = {1, 1, 1, 1};
  int64_t downsample_padding = 1;  // 0: pad (0, 1, 0, 1) first, as the VAE does
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  int64_t cross_attention_dim = 1280;  // width of the text states
  // Number of heads (diffusers' attention_head_dim is misnamed).
  std::vector<int64_t> num_attention_heads = {8, 8, 8, 8};
  bool use_linear_projection = false;
  bool upcast_attention = false;  // attention in float32 whatever the weights
  int64_t time_embedding_dim = 1280;  // default: 4 * block_out_channels[0]

  // Parses config.json's text. kFailedPrecondition names every key whose value
  // is not implemented, the value and what is allowed; unknown keys are
  // ignored.
  static absl::StatusOr<UNet2DConditionConfig> FromJsonText(
      std::string_view text);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_UNET_2D_CONDITION_CONFIG_H_
