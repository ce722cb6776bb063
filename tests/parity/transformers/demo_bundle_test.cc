// The demo bundle's text encoder, CLIP and DINO: fp16 files, strict load.
// (Its UNet and VAE: tests/parity/diffusers.)
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/nn/clip_model.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/vision_transformer.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/key_map.h"
#include "engine/weights/load_state_dict.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

template <typename Model, typename Config>
Model LoadFromBundle(const std::string& folder_name,
                     absl::StatusOr<StateDict> (*to_keys)(StateDict),
                     const std::vector<std::string>& ignored) {
  const std::string folder =
      absl::StrCat(OVDIFF_SOURCE_DIR, "/deploy/bundles/demo/", folder_name);
  const auto text = ReadHubConfigText(folder + "/config.json");
  EXPECT_TRUE(text.ok()) << text.status();
  const auto config = Config::FromJsonText(text.value_or("{}"));
  EXPECT_TRUE(config.ok()) << config.status();
  auto weights = ReadHubWeights(folder, "model");
  EXPECT_TRUE(weights.ok()) << weights.status();
  if (!config.ok() || !weights.ok()) {
    return nullptr;
  }
  const auto renamed = to_keys(*std::move(weights));
  EXPECT_TRUE(renamed.ok()) << renamed.status();
  Model model(*config);
  const absl::Status loaded = LoadStateDict(*model, *renamed,
                                            {.what = folder_name,
                                             .ignore_unexpected = ignored,
                                             .ignore_missing = {}});
  EXPECT_TRUE(loaded.ok()) << loaded;
  return model;
}

TEST(DemoBundle, TextEncoderTellsPromptsApart) {
  auto model = LoadFromBundle<CLIPTextModel, CLIPTextConfig>(
      "stable-diffusion/text_encoder", ToClipTextModelKeys,
      IgnoredClipTextModelKeys());
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  const CLIPTextConfig& config = model->config();
  const torch::Tensor ids = torch::full({2, config.max_position_embeddings},
                                        config.vocab_size - 1, torch::kLong);
  ids[1][1] = 0;
  const torch::Tensor states = model(ids);
  EXPECT_EQ(states.sizes(),
            torch::IntArrayRef(
                {2, config.max_position_embeddings, config.hidden_size}));
  EXPECT_TRUE(states.isfinite().all().item<bool>());
  // Causal: what stands before the difference is equal, what follows is not.
  EXPECT_TRUE(torch::allclose(states[0][0], states[1][0]));
  EXPECT_FALSE(torch::allclose(states[0][2], states[1][2], 1e-2, 1e-2));
}

TEST(DemoBundle, ClipEmbedsPicturesAndTexts) {
  auto model = LoadFromBundle<CLIPModel, CLIPConfig>("clip", ToClipModelKeys,
                                                     IgnoredClipModelKeys());
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  const CLIPVisionConfig& vision = model->config().vision_config;
  torch::manual_seed(0);
  const torch::Tensor pixels =
      torch::randn({2, 3, vision.image_size, vision.image_size});
  const torch::Tensor features = model->ImageFeatures(pixels);
  EXPECT_EQ(features.sizes(),
            torch::IntArrayRef({2, model->config().projection_dim}));
  EXPECT_TRUE(features.isfinite().all().item<bool>());
  const int64_t grid = vision.image_size / vision.patch_size;
  EXPECT_EQ(model->vision_model
                ->PatchKeys(pixels, -2, PositionInterpolation::kScaleFactor)
                .sizes(),
            torch::IntArrayRef({2, vision.hidden_size, grid, grid}));
}

TEST(DemoBundle, DinoGivesKeysAtAnySize) {
  auto model = LoadFromBundle<VisionTransformer, VisionTransformerConfig>(
      "dino", ToVisionTransformerKeys, IgnoredVisionTransformerKeys());
  ASSERT_FALSE(model.is_empty());
  const torch::InferenceMode inference;
  const VisionTransformerConfig& config = model->config();
  torch::manual_seed(0);
  const torch::Tensor keys = model->PatchKeys(
      torch::randn({1, 3, 5 * config.patch_size + 1, 7 * config.patch_size}),
      -1);
  EXPECT_EQ(keys.sizes(), torch::IntArrayRef({1, config.embed_dim, 5, 7}));
  EXPECT_TRUE(keys.isfinite().all().item<bool>());
}

TEST(DemoBundle, TheWrongModelsWeightsAreRefused) {
  const auto config = CLIPTextConfig::FromJsonText("{}");
  ASSERT_TRUE(config.ok());
  CLIPTextConfig small = *config;
  small.num_hidden_layers = 1;
  small.vocab_size = 10;
  CLIPTextModel model(small);
  const auto weights = ReadHubWeights(
      absl::StrCat(OVDIFF_SOURCE_DIR, "/deploy/bundles/demo/dino"), "model");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(LoadStateDict(
                *model, *weights,
                {.what = "text", .ignore_unexpected = {}, .ignore_missing = {}})
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ovdiff::engine
