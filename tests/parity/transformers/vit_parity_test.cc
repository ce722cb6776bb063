#include <string>

#include "engine/nn/vision_transformer.h"
#include "engine/weights/key_map.h"
#include "gtest/gtest.h"
#include "tests/parity/transformers/goldens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Builds from a config's text and loads strictly, through the key map.
VisionTransformer Load(const std::string& config_text, StateDict weights) {
  const auto config = VisionTransformerConfig::FromJsonText(config_text);
  EXPECT_TRUE(config.ok()) << config.status();
  const auto renamed = ToVisionTransformerKeys(std::move(weights));
  EXPECT_TRUE(renamed.ok()) << renamed.status();
  if (!config.ok() || !renamed.ok()) {
    return nullptr;
  }
  VisionTransformer model(*config);
  const absl::Status loaded =
      LoadStateDict(*model, *renamed,
                    {.what = "dino",
                     .ignore_unexpected = IgnoredVisionTransformerKeys(),
                     .ignore_missing = {}});
  EXPECT_TRUE(loaded.ok()) << loaded;
  return model;
}

void ComparePicture(VisionTransformer& model, const Golden& golden,
                    const std::string& name, const std::string& rule_name,
                    PositionInterpolation rule) {
  SCOPED_TRACE(absl::StrCat(name, " ", rule_name));
  const torch::Tensor pixels = golden.in.at(name);
  const auto out = [&](const char* what) {
    return golden.out.at(absl::StrCat(name, "/", rule_name, "/", what));
  };
  EXPECT_PARITY(model->forward(pixels, rule), out("features"));
  EXPECT_PARITY(model->PatchKeys(pixels, -1, rule), out("keys-1"));
  EXPECT_PARITY(model->PatchKeys(pixels, -2, rule), out("keys-2"));
  EXPECT_PARITY(model->PatchKeys(pixels, model->num_layers() - 1, rule),
                out("keys-1"));
  EXPECT_PARITY(model->PatchTokens(pixels, -1, rule), out("tokens_last"));
  EXPECT_PARITY(model->PatchTokens(pixels, 0, rule), out("tokens_first"));
}

class VisionTransformerParity : public ::testing::TestWithParam<const char*> {};

TEST_P(VisionTransformerParity, AgreesWithTimm) {
  Golden golden = ReadGolden(GetParam());
  VisionTransformer model = Load(golden.config, std::move(golden.weights));
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  ComparePicture(model, golden, "pixels0", "size",
                 PositionInterpolation::kSize);
  for (const char* name : {"pixels1", "pixels2"}) {
    ComparePicture(model, golden, name, "size", PositionInterpolation::kSize);
    ComparePicture(model, golden, name, "scale_factor",
                   PositionInterpolation::kScaleFactor);
  }
  EXPECT_PARITY(model->forward(golden.in.at("pixels0"),
                               PositionInterpolation::kScaleFactor),
                golden.out.at("pixels0/size/features"));
  EXPECT_GT(RelativeError(golden.out.at("pixels1/size/keys-1"),
                          golden.out.at("pixels1/scale_factor/keys-1")),
            10 * kTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, VisionTransformerParity,
                         ::testing::Values("vit_patch4", "vit_patch8"));

// make_goldens.py asserts that ViTModel with these weights agrees with timm.
TEST(HfViTModel, GivesTheSameNetworkThroughTheKeyMap) {
  const Golden timm = ReadGolden("vit_patch4");
  Golden hf = ReadGolden("vit_patch4_hf");
  ASSERT_EQ(hf.weights.count("blocks.0.attn.qkv.weight"), 0u);
  const auto renamed = ToVisionTransformerKeys(hf.weights);
  ASSERT_TRUE(renamed.ok()) << renamed.status();
  for (const auto& [name, tensor] : timm.weights) {
    ASSERT_EQ(renamed->count(name), 1u) << name;
    EXPECT_TRUE(torch::equal(renamed->at(name), tensor)) << name;
  }
  VisionTransformer model = Load(hf.config, std::move(hf.weights));
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  ComparePicture(model, timm, "pixels1", "size", PositionInterpolation::kSize);
}

TEST(HfDinov2Model, LayerScaleAndNames) {
  Golden golden = ReadGolden("dinov2");
  VisionTransformer model = Load(golden.config, std::move(golden.weights));
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  EXPECT_PARITY(
      model->forward(golden.in.at("pixels0"), PositionInterpolation::kSize),
      golden.out.at("pixels0/size/features"));
}

// The whole of ViTMAEForPreTraining, decoder and all. A network of features
// hides no patch and shuffles none.
TEST(HfViTMae, EncoderWithoutMaskOrShuffle) {
  Golden golden = ReadGolden("mae");
  ASSERT_EQ(golden.weights.count("vit.layers.0.attention.k_proj.weight"), 1u);
  ASSERT_EQ(golden.weights.count("decoder.decoder_pred.weight"), 1u);
  VisionTransformer model = Load(golden.config, std::move(golden.weights));
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  for (const char* name : {"pixels0", "pixels1"}) {
    SCOPED_TRACE(name);
    const torch::Tensor pixels = golden.in.at(name);
    const auto out = [&](const char* what) {
      return golden.out.at(absl::StrCat(name, "/size/", what));
    };
    EXPECT_PARITY(model->forward(pixels, PositionInterpolation::kSize),
                  out("features"));
    EXPECT_PARITY(model->PatchKeys(pixels, -1, PositionInterpolation::kSize),
                  out("keys-1"));
  }
}

}  // namespace
}  // namespace ovdiff::engine
