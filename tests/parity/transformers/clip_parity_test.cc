#include <string>

#include "engine/nn/clip_model.h"
#include "engine/nn/clip_text_model.h"
#include "engine/weights/key_map.h"
#include "gtest/gtest.h"
#include "tests/parity/transformers/goldens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

class CLIPTextModelParity : public ::testing::TestWithParam<const char*> {};

TEST_P(CLIPTextModelParity, AgreesWithTransformers) {
  Golden golden = ReadGolden(GetParam());
  const auto config = CLIPTextConfig::FromJsonText(golden.config);
  ASSERT_TRUE(config.ok()) << config.status();
  CLIPTextModel model(*config);
  const auto weights = ToClipTextModelKeys(std::move(golden.weights));
  ASSERT_TRUE(weights.ok()) << weights.status();
  const absl::Status loaded = LoadStateDict(
      *model, *weights,
      {.what = "text", .ignore_unexpected = {}, .ignore_missing = {}});
  ASSERT_TRUE(loaded.ok()) << loaded;

  const torch::InferenceMode inference;
  const torch::Tensor ids = golden.in.at("ids");
  const torch::Tensor states = model(ids);
  EXPECT_PARITY(states, golden.out.at("last_hidden_state"));
  EXPECT_PARITY(model->text_model->Pool(states, ids), golden.out.at("pooled"));
  EXPECT_PARITY(model(ids.narrow(1, 0, 9)), golden.out.at("short"));
}

INSTANTIATE_TEST_SUITE_P(All, CLIPTextModelParity,
                         ::testing::Values("text_quick_gelu", "text_gelu"));

class CLIPModelParity : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = ReadGolden(GetParam());
    const auto config = CLIPConfig::FromJsonText(golden_.config);
    ASSERT_TRUE(config.ok()) << config.status();
    model_ = CLIPModel(*config);
    const absl::Status loaded = LoadStateDict(
        *model_, golden_.weights,
        {.what = "clip", .ignore_unexpected = {}, .ignore_missing = {}});
    ASSERT_TRUE(loaded.ok()) << loaded;
  }

  // Everything the goldens say about one picture under one rule.
  void ComparePicture(const std::string& name, const std::string& rule_name,
                      PositionInterpolation rule) {
    SCOPED_TRACE(absl::StrCat(name, " ", rule_name));
    const torch::Tensor pixels = golden_.in.at(name);
    const auto out = [&](const char* what) {
      return golden_.out.at(absl::StrCat(name, "/", rule_name, "/", what));
    };
    CLIPVisionTransformer& vision = model_->vision_model;
    EXPECT_PARITY(model_->ImageFeatures(pixels, rule), out("features"));
    EXPECT_PARITY(vision->PatchKeys(pixels, -1, rule), out("keys-1"));
    EXPECT_PARITY(vision->PatchKeys(pixels, -2, rule), out("keys-2"));
    EXPECT_PARITY(vision->PatchKeys(pixels, vision->num_layers() - 2, rule),
                  out("keys-2"));
    EXPECT_PARITY(vision->PatchTokens(pixels, -1, rule), out("tokens_last"));
    EXPECT_PARITY(vision->PatchTokens(pixels, 0, rule), out("tokens_first"));
  }

  Golden golden_;
  CLIPModel model_{nullptr};
};

TEST_P(CLIPModelParity, TextFeatures) {
  const torch::InferenceMode inference;
  EXPECT_PARITY(model_->TextFeatures(golden_.in.at("ids")),
                golden_.out.at("text_features"));
}

TEST_P(CLIPModelParity, LogitsPerImage) {
  const torch::InferenceMode inference;
  EXPECT_PARITY(
      model_->LogitsPerImage(model_->ImageFeatures(golden_.in.at("pixels0")),
                             model_->TextFeatures(golden_.in.at("ids"))),
      golden_.out.at("logits_per_image"));
}

TEST_P(CLIPModelParity, PicturesOfTheTrainedSizeUnderBothRules) {
  const torch::InferenceMode inference;
  ComparePicture("pixels0", "size", PositionInterpolation::kSize);
  // The table is taken as it is, so the rule does not matter.
  const torch::Tensor pixels = golden_.in.at("pixels0");
  EXPECT_PARITY(
      model_->ImageFeatures(pixels, PositionInterpolation::kScaleFactor),
      golden_.out.at("pixels0/size/features"));
}

TEST_P(CLIPModelParity, OtherSizesInterpolatedToTheSize) {
  const torch::InferenceMode inference;
  ComparePicture("pixels1", "size", PositionInterpolation::kSize);
  ComparePicture("pixels2", "size", PositionInterpolation::kSize);
}

TEST_P(CLIPModelParity, OtherSizesInterpolatedByDinosScaleFactor) {
  const torch::InferenceMode inference;
  ComparePicture("pixels1", "scale_factor",
                 PositionInterpolation::kScaleFactor);
  ComparePicture("pixels2", "scale_factor",
                 PositionInterpolation::kScaleFactor);
  // The rules differ by more than rounding, or this test would prove nothing.
  EXPECT_GT(RelativeError(golden_.out.at("pixels1/size/features"),
                          golden_.out.at("pixels1/scale_factor/features")),
            10 * kTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, CLIPModelParity,
                         ::testing::Values("clip_quick_gelu", "clip_gelu"));

}  // namespace
}  // namespace ovdiff::engine
