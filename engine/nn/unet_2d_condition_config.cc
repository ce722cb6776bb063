#include "engine/nn/unet_2d_condition_config.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"

namespace ovdiff::engine {
namespace {

// Bounds that no real model meets; they keep a damaged file from asking for
// terabytes.
constexpr int64_t kMaxChannels = 16384;
constexpr int64_t kMaxLayers = 64;

// Every key of diffusers 0.42 that changes the network, at its only
// implemented value.
void RefuseWhatIsNotImplemented(HubConfig& json) {
  for (const char* key :
       {"addition_embed_type", "class_embed_type", "num_class_embeds",
        "cross_attention_norm", "encoder_hid_dim", "encoder_hid_dim_type",
        "reverse_transformer_layers_per_block", "time_cond_proj_dim",
        "time_embedding_act_fn", "timestep_post_act"}) {
    json.Only(key, "null");
  }
  for (const char* key :
       {"center_input_sample", "class_embeddings_concat",
        "dual_cross_attention", "mid_block_only_cross_attention",
        "only_cross_attention", "resnet_skip_time_act"}) {
    json.Only(key, "false");
  }
  json.Only("act_fn", "\"silu\"");
  json.Only("attention_type", "\"default\"");
  json.Only("conv_in_kernel", "3");
  json.Only("conv_out_kernel", "3");
  json.Only("mid_block_scale_factor", "1");
  json.NotNull("mid_block_type");   // null: no middle block
  json.NotNull("norm_num_groups");  // null: no conv_norm_out
  json.Only("mid_block_type", "\"UNetMidBlock2DCrossAttn\"");
  json.Only("resnet_out_scale_factor", "1");
  json.Only("resnet_time_scale_shift", "\"default\"");
  json.Only("time_embedding_type", "\"positional\"");
}

void CheckDivisors(const UNet2DConditionConfig& config, HubConfig& json) {
  for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
    const int64_t channels = config.block_out_channels[i];
    if (channels % config.norm_num_groups != 0 || channels % 2 != 0) {
      json.Refuse("block_out_channels",
                  absl::StrCat("even multiples of norm_num_groups, which is ",
                               config.norm_num_groups));
    }
    if (channels % config.num_attention_heads[i] != 0) {
      json.Refuse("attention_head_dim",
                  absl::StrCat("a number of heads that divides the ", channels,
                               " channels of block ", i));
    }
  }
}

}  // namespace

absl::StatusOr<UNet2DConditionConfig> UNet2DConditionConfig::FromJsonText(
    std::string_view text) {
  OVDIFF_ASSIGN_OR_RETURN(HubConfig json,
                          HubConfig::Parse(text, "unet/config.json"));
  UNet2DConditionConfig c;
  json.Only("_class_name", "\"UNet2DConditionModel\"");
  RefuseWhatIsNotImplemented(json);
  c.sample_size = json.Int("sample_size", c.sample_size, 1, 4096);
  c.in_channels = json.Int("in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = json.Int("out_channels", c.out_channels, 1, kMaxChannels);
  c.flip_sin_to_cos = json.Bool("flip_sin_to_cos", c.flip_sin_to_cos);
  c.freq_shift = json.Int("freq_shift", c.freq_shift, 0, 1);
  c.block_out_channels =
      json.Ints("block_out_channels", c.block_out_channels, 1, kMaxChannels);
  const size_t blocks = c.block_out_channels.size();
  c.down_block_types =
      json.Names("down_block_types", c.down_block_types, blocks,
                 {"DownBlock2D", "CrossAttnDownBlock2D"});
  c.up_block_types = json.Names("up_block_types", c.up_block_types, blocks,
                                {"UpBlock2D", "CrossAttnUpBlock2D"});
  c.layers_per_block =
      json.IntOrInts("layers_per_block", 2, blocks, 1, kMaxLayers);
  c.transformer_layers_per_block =
      json.IntOrInts("transformer_layers_per_block", 1, blocks, 1, kMaxLayers);
  c.downsample_padding =
      json.Int("downsample_padding", c.downsample_padding, 0, 1);
  c.norm_num_groups =
      json.Int("norm_num_groups", c.norm_num_groups, 1, kMaxChannels);
  c.norm_eps = json.Number("norm_eps", c.norm_eps, 1e-12, 1);
  c.cross_attention_dim =
      json.Int("cross_attention_dim", c.cross_attention_dim, 1, kMaxChannels);
  // num_attention_heads wins where a file has it (networks.md 1.2).
  const char* heads_key = json.Has("num_attention_heads")
                              ? "num_attention_heads"
                              : "attention_head_dim";
  c.num_attention_heads = json.IntOrInts(heads_key, 8, blocks, 1, kMaxChannels);
  c.use_linear_projection =
      json.Bool("use_linear_projection", c.use_linear_projection);
  c.upcast_attention = json.Bool("upcast_attention", c.upcast_attention);
  c.time_embedding_dim = json.Int(
      "time_embedding_dim", 4 * c.block_out_channels[0], 1, kMaxChannels * 4);
  CheckDivisors(c, json);
  OVDIFF_RETURN_IF_ERROR(json.status());
  return c;
}

}  // namespace ovdiff::engine
