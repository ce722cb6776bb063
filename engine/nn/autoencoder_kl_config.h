// AutoencoderKLConfig: the part of diffusers' AutoencoderKL config.json that is
// implemented, with its field names.
#ifndef OVDIFF_ENGINE_NN_AUTOENCODER_KL_CONFIG_H_
#define OVDIFF_ENGINE_NN_AUTOENCODER_KL_CONFIG_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

struct AutoencoderKLConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  // From the first encoder block on; the decoder reads them backwards.
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1;  // the decoder has one more
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;
  int64_t sample_size = 32;  // picture side it was trained at; any size runs
  double scaling_factor = 0.18215;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;

  // Pixels per latent cell and side.
  int64_t downscale() const {
    return int64_t{1} << (block_out_channels.size() - 1);
  }

  // Parses config.json's text. kFailedPrecondition names every key whose value
  // is not implemented, the value and what is allowed; unknown keys are
  // ignored.
  static absl::StatusOr<AutoencoderKLConfig> FromJsonText(
      std::string_view text);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_AUTOENCODER_KL_CONFIG_H_
