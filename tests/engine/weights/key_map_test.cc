#include "engine/weights/key_map.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

StateDict Named(const std::vector<std::string>& names) {
  StateDict tensors;
  for (const std::string& name : names) {
    tensors.emplace(name, torch::zeros({1}));
  }
  return tensors;
}

std::vector<std::string> NamesOf(const absl::StatusOr<StateDict>& tensors) {
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : *tensors) {
    names.push_back(name);
  }
  return names;
}

TEST(KeyMapTest, OldVaeAttention) {
  const std::string mid = "decoder.mid_block.attentions.0.";
  EXPECT_THAT(NamesOf(ToAutoencoderKlKeys(Named(
                  {mid + "query.weight", mid + "key.bias", mid + "value.weight",
                   mid + "proj_attn.weight", mid + "group_norm.weight",
                   "decoder.conv_in.weight", mid + "to_k.weight"}))),
              UnorderedElementsAre(
                  mid + "to_q.weight", mid + "to_k.bias", mid + "to_v.weight",
                  mid + "to_out.0.weight", mid + "group_norm.weight",
                  "decoder.conv_in.weight", mid + "to_k.weight"));
}

TEST(KeyMapTest, TwoSpellingsOfOneNameAreRefused) {
  const std::string mid = "encoder.mid_block.attentions.0.";
  const auto result =
      ToAutoencoderKlKeys(Named({mid + "query.weight", mid + "to_q.weight"}));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(result.status().message()),
      AllOf(HasSubstr(mid + "query.weight"), HasSubstr(mid + "to_q.weight")));
}

TEST(KeyMapTest, TextEncoderWithAndWithoutPrefix) {
  const std::vector<std::string> expected = {
      "text_model.embeddings.token_embedding.weight",
      "text_model.encoder.layers.0.self_attn.q_proj.weight",
      "text_model.final_layer_norm.bias"};
  EXPECT_THAT(NamesOf(ToClipTextModelKeys(
                  Named({"embeddings.token_embedding.weight",
                         "encoder.layers.0.self_attn.q_proj.weight",
                         "final_layer_norm.bias"}))),
              ::testing::ElementsAreArray(expected));
  EXPECT_THAT(NamesOf(ToClipTextModelKeys(Named(expected))),
              ::testing::ElementsAreArray(expected));
}

TEST(KeyMapTest, OpenAiClip) {
  StateDict tensors =
      Named({"visual.conv1.weight", "visual.class_embedding",
             "visual.positional_embedding", "visual.ln_pre.weight",
             "visual.ln_post.bias", "positional_embedding",
             "token_embedding.weight", "ln_final.weight", "logit_scale",
             "visual.transformer.resblocks.0.ln_1.weight",
             "visual.transformer.resblocks.0.attn.out_proj.weight",
             "transformer.resblocks.11.mlp.c_fc.weight",
             "transformer.resblocks.11.mlp.c_proj.bias"});
  const torch::Tensor in_proj = torch::arange(12.0f).reshape({6, 2});
  const torch::Tensor projection = torch::arange(6.0f).reshape({2, 3});
  tensors["transformer.resblocks.11.attn.in_proj_weight"] = in_proj;
  tensors["visual.proj"] = projection;
  tensors["text_projection"] = projection;
  const auto renamed = ToClipModelKeys(tensors);
  EXPECT_THAT(NamesOf(renamed),
              UnorderedElementsAre(
                  "vision_model.embeddings.patch_embedding.weight",
                  "vision_model.embeddings.class_embedding",
                  "vision_model.embeddings.position_embedding.weight",
                  "vision_model.pre_layrnorm.weight",
                  "vision_model.post_layernorm.bias",
                  "text_model.embeddings.position_embedding.weight",
                  "text_model.embeddings.token_embedding.weight",
                  "text_model.final_layer_norm.weight", "logit_scale",
                  "vision_model.encoder.layers.0.layer_norm1.weight",
                  "vision_model.encoder.layers.0.self_attn.out_proj.weight",
                  "text_model.encoder.layers.11.mlp.fc1.weight",
                  "text_model.encoder.layers.11.mlp.fc2.bias",
                  "text_model.encoder.layers.11.self_attn.q_proj.weight",
                  "text_model.encoder.layers.11.self_attn.k_proj.weight",
                  "text_model.encoder.layers.11.self_attn.v_proj.weight",
                  "visual_projection.weight", "text_projection.weight"));
  EXPECT_TRUE(torch::equal(
      renamed->at("text_model.encoder.layers.11.self_attn.k_proj.weight"),
      in_proj.narrow(0, 2, 2)));
  EXPECT_TRUE(
      torch::equal(renamed->at("visual_projection.weight"), projection.t()));
  EXPECT_TRUE(
      torch::equal(renamed->at("text_projection.weight"), projection.t()));
}

TEST(KeyMapTest, TransformersClipStaysAsItIs) {
  const std::vector<std::string> names = {"text_projection.weight",
                                          "vision_model.pre_layrnorm.bias"};
  EXPECT_THAT(NamesOf(ToClipModelKeys(Named(names))),
              ::testing::ElementsAreArray(names));
}

TEST(KeyMapTest, VisionTransformerOfTransformers4) {
  StateDict tensors =
      Named({"vit.embeddings.cls_token", "vit.embeddings.position_embeddings",
             "vit.embeddings.patch_embeddings.projection.weight",
             "vit.encoder.layer.3.layernorm_before.weight",
             "vit.encoder.layer.3.layernorm_after.bias",
             "vit.encoder.layer.3.attention.output.dense.weight",
             "vit.encoder.layer.3.intermediate.dense.weight",
             "vit.encoder.layer.3.output.dense.bias", "vit.layernorm.weight"});
  const std::string attention = "vit.encoder.layer.3.attention.attention.";
  tensors[attention + "query.weight"] = torch::full({2, 2}, 1.0f);
  tensors[attention + "key.weight"] = torch::full({2, 2}, 2.0f);
  tensors[attention + "value.weight"] = torch::full({2, 2}, 3.0f);
  const auto renamed = ToVisionTransformerKeys(tensors);
  EXPECT_THAT(
      NamesOf(renamed),
      UnorderedElementsAre(
          "cls_token", "pos_embed", "patch_embed.proj.weight",
          "blocks.3.norm1.weight", "blocks.3.norm2.bias",
          "blocks.3.attn.proj.weight", "blocks.3.attn.qkv.weight",
          "blocks.3.mlp.fc1.weight", "blocks.3.mlp.fc2.bias", "norm.weight"));
  const torch::Tensor& qkv = renamed->at("blocks.3.attn.qkv.weight");
  EXPECT_EQ(qkv.sizes(), torch::IntArrayRef({6, 2}));
  EXPECT_EQ(qkv[1][0].item<float>(), 1.0f);
  EXPECT_EQ(qkv[2][0].item<float>(), 2.0f);
  EXPECT_EQ(qkv[5][0].item<float>(), 3.0f);
}

TEST(KeyMapTest, Dinov2OfTransformers4) {
  EXPECT_THAT(
      NamesOf(ToVisionTransformerKeys(Named(
          {"embeddings.mask_token", "encoder.layer.0.layer_scale1.lambda1",
           "encoder.layer.0.norm2.weight", "encoder.layer.0.mlp.fc1.weight"}))),
      UnorderedElementsAre("mask_token", "blocks.0.ls1.gamma",
                           "blocks.0.norm2.weight", "blocks.0.mlp.fc1.weight"));
}

TEST(KeyMapTest, WrappersAreStripped) {
  EXPECT_THAT(NamesOf(ToVisionTransformerKeys(
                  Named({"module.backbone.blocks.0.attn.qkv.weight",
                         "teacher.backbone.cls_token", "model.norm.bias",
                         "dinov2.layernorm.weight", "head.weight"}))),
              UnorderedElementsAre("blocks.0.attn.qkv.weight", "cls_token",
                                   "norm.bias", "norm.weight", "head.weight"));
}

// The strict load is to name what is wrong, not this step.
TEST(KeyMapTest, AnIncompleteTripleIsLeftAlone) {
  EXPECT_THAT(NamesOf(ToVisionTransformerKeys(
                  Named({"layers.0.attention.q_proj.weight",
                         "layers.0.attention.k_proj.weight"}))),
              ElementsAre("blocks.0.attn.k.weight", "blocks.0.attn.q.weight"));
}

}  // namespace
}  // namespace ovdiff::engine
