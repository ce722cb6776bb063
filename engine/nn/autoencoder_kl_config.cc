#include "engine/nn/autoencoder_kl_config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"

namespace ovdiff::engine {

absl::StatusOr<AutoencoderKLConfig> AutoencoderKLConfig::FromJsonText(
    std::string_view text) {
  constexpr int64_t kMaxChannels = 16384;
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text, "vae/config.json"));
  AutoencoderKLConfig c;
  json.Only("_class_name", "\"AutoencoderKL\"");
  json.Only("act_fn", "\"silu\"");
  for (const char* key : {"shift_factor", "latents_mean", "latents_std"}) {
    json.Only(key, "null");
  }
  c.in_channels = json.Int("in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = json.Int("out_channels", c.out_channels, 1, kMaxChannels);
  c.block_out_channels =
      json.Ints("block_out_channels", c.block_out_channels, 1, kMaxChannels);
  const size_t blocks = c.block_out_channels.size();
  if (blocks > 8) json.Refuse("block_out_channels", "a list of at most 8");
  json.Names("down_block_types", {"DownEncoderBlock2D"}, blocks,
             {"DownEncoderBlock2D"});
  json.Names("up_block_types", {"UpDecoderBlock2D"}, blocks,
             {"UpDecoderBlock2D"});
  c.layers_per_block = json.Int("layers_per_block", c.layers_per_block, 1, 64);
  c.latent_channels =
      json.Int("latent_channels", c.latent_channels, 1, kMaxChannels);
  c.norm_num_groups =
      json.Int("norm_num_groups", c.norm_num_groups, 1, kMaxChannels);
  c.sample_size = json.Int("sample_size", c.sample_size, 1, 1 << 20);
  c.scaling_factor = json.Number("scaling_factor", c.scaling_factor, 1e-6, 1e6);
  c.use_quant_conv = json.Bool("use_quant_conv", c.use_quant_conv);
  c.use_post_quant_conv =
      json.Bool("use_post_quant_conv", c.use_post_quant_conv);
  c.mid_block_add_attention =
      json.Bool("mid_block_add_attention", c.mid_block_add_attention);
  for (int64_t channels : c.block_out_channels) {
    if (channels % c.norm_num_groups != 0) {
      json.Refuse("block_out_channels",
                  absl::StrCat("multiples of norm_num_groups, which is ",
                               c.norm_num_groups));
    }
  }
  OVDIFF_RETURN_IF_ERROR(json.status());
  return c;
}

}  // namespace ovdiff::engine
