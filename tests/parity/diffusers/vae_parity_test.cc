// AutoencoderKL against diffusers 0.42 on goldens of make_goldens.py.
#include <string>

#include "engine/nn/autoencoder_kl.h"
#include "engine/nn/feature_map.h"
#include "engine/weights/key_map.h"
#include "tests/parity/diffusers/goldens.h"

namespace ovdiff::engine {
namespace {

constexpr double kRelative = 1e-4;

AutoencoderKL LoadVae(const std::string& folder) {
  const auto config =
      AutoencoderKLConfig::FromJsonText(ReadText(folder + "/config.json"));
  EXPECT_TRUE(config.ok()) << config.status();
  AutoencoderKL vae(*config);
  auto weights = ReadHubWeights(folder, "diffusion_pytorch_model");
  EXPECT_TRUE(weights.ok()) << weights.status();
  const auto renamed = ToAutoencoderKlKeys(*std::move(weights));
  EXPECT_TRUE(renamed.ok()) << renamed.status();
  LoadStateDictOptions options;
  options.what = "vae";
  options.ignore_unexpected = IgnoredAutoencoderKlKeys();
  const absl::Status loaded = LoadStateDict(*vae, *renamed, options);
  EXPECT_TRUE(loaded.ok()) << loaded;
  return vae;
}

class VaeParity : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string folder = DiffusersGolden("goldens/" + GetParam());
    vae_ = LoadVae(folder);
    io_ = ReadTensors(folder + "/io.safetensors");
  }

  torch::InferenceMode inference_;
  AutoencoderKL vae_{nullptr};
  StateDict io_;
};

TEST_P(VaeParity, Encode) {
  const LatentDistribution latents = vae_->encode(io_.at("image"));
  EXPECT_LT(RelativeError(latents.mean, io_.at("mean")), kRelative);
  EXPECT_LT(RelativeError(latents.logvar, io_.at("logvar")), kRelative);
  EXPECT_LT(RelativeError(latents.Sample(io_.at("noise")), io_.at("sample")),
            kRelative);
}

TEST_P(VaeParity, Decode) {
  EXPECT_LT(RelativeError(vae_->decode(io_.at("sample")), io_.at("decoded")),
            kRelative);
}

TEST_P(VaeParity, ChannelsLastChangesNothing) {
  UseChannelsLast(*vae_);
  EXPECT_LT(RelativeError(vae_->encode(io_.at("image")).mean, io_.at("mean")),
            kRelative);
  EXPECT_LT(RelativeError(vae_->decode(io_.at("sample")), io_.at("decoded")),
            kRelative);
}

INSTANTIATE_TEST_SUITE_P(Diffusers, VaeParity,
                         ::testing::Values("vae_old_names", "vae_no_quant"));

TEST(VaeDemoBundle, EncodeAndDecode) {
  torch::InferenceMode inference;
  AutoencoderKL vae = LoadVae(std::string(OVDIFF_SOURCE_DIR) +
                              "/deploy/bundles/demo/stable-diffusion/vae");
  const StateDict io =
      ReadTensors(DiffusersGolden("goldens/demo_io.safetensors"));
  const LatentDistribution latents = vae->encode(io.at("image"));
  EXPECT_LT(RelativeError(latents.mean, io.at("mean")), kRelative);
  EXPECT_LT(RelativeError(latents.logvar, io.at("logvar")), kRelative);
  EXPECT_LT(RelativeError(vae->decode(io.at("mean")), io.at("decoded")),
            kRelative);
}

}  // namespace
}  // namespace ovdiff::engine
