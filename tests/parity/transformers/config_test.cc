// Reading of config.json files: defaults, refusals, both spellings.
#include <string>

#include "engine/nn/clip_config.h"
#include "engine/nn/position_interpolation.h"
#include "engine/nn/vision_transformer_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename Config>
std::string Refusal(const std::string& text) {
  const auto config = Config::FromJsonText(text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kFailedPrecondition)
      << text;
  return std::string(config.status().message());
}

TEST(CLIPConfigTest, UnknownIgnoredMissingDefault) {
  const auto config = CLIPTextConfig::FromJsonText(
      R"({"hidden_size": 768, "num_attention_heads": 12, "new_key": [1],
          "vocab_size": null})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hidden_size, 768);
  EXPECT_EQ(config->vocab_size, 49408);
  EXPECT_EQ(config->hidden_act, ClipActivation::kQuickGelu);
  EXPECT_EQ(config->eos_token_id, 49407);
}

TEST(CLIPConfigTest, RefusesWhatIsNotImplemented) {
  EXPECT_THAT(Refusal<CLIPTextConfig>(R"({"hidden_act": "relu"})"),
              AllOf(HasSubstr("hidden_act"), HasSubstr("relu"),
                    HasSubstr("quick_gelu"), HasSubstr("gelu")));
  EXPECT_THAT(Refusal<CLIPTextConfig>(R"({"num_attention_heads": 7})"),
              AllOf(HasSubstr("num_attention_heads"), HasSubstr("7"),
                    HasSubstr("512")));
  EXPECT_THAT(Refusal<CLIPTextConfig>(R"({"hidden_size": "512"})"),
              HasSubstr("hidden_size"));
  EXPECT_THAT(Refusal<CLIPTextConfig>(R"({"vocab_size": 99999999999})"),
              HasSubstr("vocab_size"));
  EXPECT_THAT(Refusal<CLIPTextConfig>(R"({"use_attention_mask": true})"),
              HasSubstr("use_attention_mask"));
  EXPECT_THAT(Refusal<CLIPVisionConfig>(R"({"patch_size": 0})"),
              HasSubstr("patch_size"));
  EXPECT_THAT(Refusal<CLIPVisionConfig>(R"({"image_size": 8})"),
              HasSubstr("image_size"));
  EXPECT_THAT(Refusal<CLIPVisionConfig>(R"({"num_channels": 4})"),
              HasSubstr("num_channels"));
  EXPECT_THAT(Refusal<CLIPConfig>(R"({"projection_dim": 512})"),
              AllOf(HasSubstr("text_config"), HasSubstr("vision_config")));
  EXPECT_THAT(Refusal<CLIPConfig>(R"({"text_config": 1, "vision_config": {}})"),
              HasSubstr("text_config"));
  EXPECT_THAT(Refusal<CLIPConfig>(
                  R"({"text_config": {}, "vision_config": {"hidden_act": 1}})"),
              AllOf(HasSubstr("vision_config"), HasSubstr("hidden_act")));
  Refusal<CLIPConfig>("not JSON");
}

TEST(CLIPConfigTest, LegacyDictWins) {
  const auto config = CLIPConfig::FromJsonText(
      R"({"text_config": {"hidden_size": 512, "vocab_size": 10},
          "text_config_dict": {"hidden_size": 64},
          "vision_config": {"patch_size": 16}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->text_config.hidden_size, 64);
  EXPECT_EQ(config->text_config.vocab_size, 10);
  EXPECT_EQ(config->vision_config.patch_size, 16);
  EXPECT_EQ(config->projection_dim, 512);
}

TEST(VisionTransformerConfigTest, OurBundlesSpelling) {
  const auto config = VisionTransformerConfig::FromJsonText(
      R"({"architecture": "vit_dino", "embed_dim": 96, "depth": 4,
          "num_heads": 4, "patch_size": 4, "img_size": 64, "mlp_ratio": 2.5,
          "qkv_bias": false, "layer_norm_eps": 1e-5})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->embed_dim, 96);
  EXPECT_EQ(config->depth, 4);
  EXPECT_EQ(config->num_heads, 4);
  EXPECT_EQ(config->patch_size, 4);
  EXPECT_EQ(config->img_size, 64);
  EXPECT_EQ(config->mlp_hidden, 240);
  EXPECT_FALSE(config->qkv_bias);
  EXPECT_FALSE(config->layer_scale);
  EXPECT_EQ(config->layer_norm_eps, 1e-5);
}

TEST(VisionTransformerConfigTest, TransformersDefaults) {
  const auto vit =
      VisionTransformerConfig::FromJsonText(R"({"model_type": "vit"})");
  ASSERT_TRUE(vit.ok()) << vit.status();
  EXPECT_EQ(vit->patch_size, 16);
  EXPECT_EQ(vit->mlp_hidden, 3072);
  EXPECT_EQ(vit->layer_norm_eps, 1e-12);
  EXPECT_FALSE(vit->layer_scale);
  const auto dinov2 = VisionTransformerConfig::FromJsonText(
      R"({"model_type": "dinov2", "hidden_size": 384,
          "num_attention_heads": 6, "image_size": 518})");
  ASSERT_TRUE(dinov2.ok()) << dinov2.status();
  EXPECT_EQ(dinov2->patch_size, 14);
  EXPECT_EQ(dinov2->mlp_hidden, 1536);
  EXPECT_EQ(dinov2->layer_norm_eps, 1e-6);
  EXPECT_TRUE(dinov2->layer_scale);
}

TEST(VisionTransformerConfigTest, RefusesWhatIsNotImplemented) {
  using Config = VisionTransformerConfig;
  EXPECT_THAT(Refusal<Config>("{}"), HasSubstr("architecture"));
  EXPECT_THAT(Refusal<Config>(R"({"architecture": "resnet50"})"),
              AllOf(HasSubstr("resnet50"), HasSubstr("vit_dino")));
  EXPECT_THAT(Refusal<Config>(R"({"model_type": "swin"})"),
              AllOf(HasSubstr("swin"), HasSubstr("dinov2")));
  EXPECT_THAT(
      Refusal<Config>(R"({"model_type": "dinov2", "use_swiglu_ffn": true})"),
      HasSubstr("use_swiglu_ffn"));
  EXPECT_THAT(Refusal<Config>(R"({"model_type": "vit", "hidden_act": "relu"})"),
              HasSubstr("hidden_act"));
  EXPECT_THAT(
      Refusal<Config>(R"({"architecture": "vit_dino", "num_heads": 5})"),
      AllOf(HasSubstr("num_heads"), HasSubstr("768")));
}

TEST(PositionInterpolationTest, UntouchedOnTheTrainingGrid) {
  const torch::Tensor table = torch::randn({1 + 9, 5});
  for (const auto rule :
       {PositionInterpolation::kSize, PositionInterpolation::kScaleFactor}) {
    // 14 / 4 rounds down to 3, as the reference's table does.
    EXPECT_TRUE(
        torch::equal(InterpolatePositions(table, 12, 12, 4, rule), table));
    EXPECT_TRUE(
        torch::equal(InterpolatePositions(table, 14, 14, 4, rule), table));
  }
  // The same grid from a picture that is not square: DINO's code stretches.
  EXPECT_TRUE(torch::allclose(
      InterpolatePositions(table, 12, 13, 4, PositionInterpolation::kSize),
      table));
  EXPECT_FALSE(
      torch::allclose(InterpolatePositions(table, 12, 13, 4,
                                           PositionInterpolation::kScaleFactor),
                      table, 1e-3, 1e-3));
}

TEST(PositionInterpolationTest, EveryGridComesOutWhole) {
  const torch::Tensor table = torch::randn({1 + 16, 2});
  for (int64_t height = 1; height <= 40; ++height) {
    for (const int64_t width : {int64_t{1}, int64_t{7}, height}) {
      EXPECT_EQ(InterpolatePositions(table, height, width, 1,
                                     PositionInterpolation::kScaleFactor)
                    .size(0),
                1 + height * width);
    }
  }
}

TEST(PositionInterpolationTest, RefusesPicturesWithoutAPatch) {
  const torch::Tensor table = torch::randn({1 + 9, 5});
  EXPECT_THROW(
      InterpolatePositions(table, 3, 12, 4, PositionInterpolation::kSize),
      c10::Error);
}

TEST(ResolveLayerTest, CountsFromBothEnds) {
  EXPECT_EQ(ResolveLayer(0, 12), 0);
  EXPECT_EQ(ResolveLayer(11, 12), 11);
  EXPECT_EQ(ResolveLayer(-1, 12), 11);
  EXPECT_EQ(ResolveLayer(-12, 12), 0);
  EXPECT_THROW(ResolveLayer(12, 12), c10::Error);
  EXPECT_THROW(ResolveLayer(-13, 12), c10::Error);
}

}  // namespace
}  // namespace ovdiff::engine
