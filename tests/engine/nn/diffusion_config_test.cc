// UNet2DConditionConfig and AutoencoderKLConfig: what a config.json may say.
#include <string>

#include "engine/nn/autoencoder_kl_config.h"
#include "engine/nn/unet_2d_condition_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string UnetError(const std::string& json) {
  const auto config = UNet2DConditionConfig::FromJsonText(json);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kFailedPrecondition)
      << json;
  return std::string(config.status().message());
}

TEST(UNet2DConditionConfig, DefaultsAreDiffusers) {
  const auto config = UNet2DConditionConfig::FromJsonText("{}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->block_out_channels, ElementsAre(320, 640, 1280, 1280));
  EXPECT_THAT(config->num_attention_heads, ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(config->layers_per_block, ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(config->cross_attention_dim, 1280);
  EXPECT_EQ(config->time_embedding_dim, 1280);
}

TEST(UNet2DConditionConfig, ListsPerBlock) {
  const auto config = UNet2DConditionConfig::FromJsonText(
      R"({"block_out_channels": [32, 64],
          "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
          "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
          "attention_head_dim": [2, 4], "layers_per_block": [1, 3],
          "transformer_layers_per_block": [2, 1], "some_new_key": {}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->num_attention_heads, ElementsAre(2, 4));
  EXPECT_THAT(config->layers_per_block, ElementsAre(1, 3));
  EXPECT_THAT(config->transformer_layers_per_block, ElementsAre(2, 1));
  EXPECT_EQ(config->time_embedding_dim, 128);
}

TEST(UNet2DConditionConfig, NumAttentionHeadsWins) {
  const auto config = UNet2DConditionConfig::FromJsonText(
      R"({"attention_head_dim": 8, "num_attention_heads": 5})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->num_attention_heads, ElementsAre(5, 5, 5, 5));
}

TEST(UNet2DConditionConfig, RefusalsSayKeyValueAndWhatIsAllowed) {
  EXPECT_THAT(
      UnetError(R"({"act_fn": "gelu"})"),
      AllOf(HasSubstr("unet/config.json"), HasSubstr("\"act_fn\" is \"gelu\""),
            HasSubstr("only \"silu\"")));
  EXPECT_THAT(
      UnetError(R"({"down_block_types": ["AttnDownBlock2D", "DownBlock2D",
                    "DownBlock2D", "DownBlock2D"]})"),
      AllOf(HasSubstr("AttnDownBlock2D"), HasSubstr("CrossAttnDownBlock2D")));
  EXPECT_THAT(UnetError(R"({"block_out_channels": [32, 64]})"),
              HasSubstr("a list of 2"));
  EXPECT_THAT(UnetError(R"({"attention_head_dim": 7})"),
              HasSubstr("divides the 320 channels of block 0"));
  EXPECT_THAT(UnetError(R"({"norm_num_groups": 33})"),
              HasSubstr("norm_num_groups, which is 33"));
  EXPECT_THAT(UnetError(R"({"addition_embed_type": "text_time"})"),
              HasSubstr("addition_embed_type"));
  EXPECT_THAT(
      UnetError(R"({"mid_block_type": null,
                            "resnet_time_scale_shift": "scale_shift"})"),
      AllOf(HasSubstr("scale_shift"), HasSubstr("\"mid_block_type\" is null")));
  EXPECT_THAT(UnetError(R"({"_class_name": "UNet2DModel"})"),
              HasSubstr("UNet2DConditionModel"));
}

TEST(UNet2DConditionConfig, RefusesWrongTypesAndSizes) {
  for (const char* json :
       {R"({"in_channels": "four"})", R"({"in_channels": 4.5})",
        R"({"in_channels": 0})", R"({"in_channels": -4})",
        R"({"in_channels": 18446744073709551615})",
        R"({"cross_attention_dim": [768, 768]})", R"({"norm_eps": "1e-5"})",
        R"({"block_out_channels": []})", R"({"block_out_channels": 320})",
        R"({"use_linear_projection": 1})", R"({"layers_per_block": [2, 2]})",
        R"({"layers_per_block": 1000000})"}) {
    UnetError(json);
  }
}

TEST(UNet2DConditionConfig, RefusesWhatIsNoJsonObject) {
  for (const char* text : {"", "[]", "{", "{\"in_channels\": 4", "\xff{}"}) {
    EXPECT_THAT(UnetError(text), HasSubstr("not a JSON object"));
  }
}

TEST(UNet2DConditionConfig, NonFiniteNumbersOfPythonAreDefaults) {
  const auto config = UNet2DConditionConfig::FromJsonText(
      R"({"a": -Infinity, "b": [NaN, Infinity], "norm_eps": NaN,
          "say \"NaN": "Infinity"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->norm_eps, 1e-5);
}

TEST(AutoencoderKLConfig, OldFileOfStableDiffusion) {
  const auto config = AutoencoderKLConfig::FromJsonText(
      R"({"_class_name": "AutoencoderKL", "act_fn": "silu",
          "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
          "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D",
                               "DownEncoderBlock2D", "DownEncoderBlock2D"],
          "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D",
                             "UpDecoderBlock2D", "UpDecoderBlock2D"]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_DOUBLE_EQ(config->scaling_factor, 0.18215);
  EXPECT_EQ(config->downscale(), 8);
  EXPECT_TRUE(config->use_quant_conv);
}

TEST(AutoencoderKLConfig, RefusesWhatIsNotImplemented) {
  const auto config = AutoencoderKLConfig::FromJsonText(
      R"({"shift_factor": 0.0609, "block_out_channels": [32],
          "down_block_types": ["AttnDownEncoderBlock2D"]})");
  ASSERT_EQ(config.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(config.status().message()),
      AllOf(HasSubstr("shift_factor"), HasSubstr("AttnDownEncoderBlock2D")));
}

}  // namespace
}  // namespace ovdiff::engine
