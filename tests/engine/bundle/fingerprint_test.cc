// What counts in fingerprints, and the digests that they are made of.
#include "engine/bundle/fingerprint.h"

#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/bundle/bundle_fixture.h"

namespace ovdiff::engine {
namespace {

class FingerprintTest : public Sd15Test {
 protected:
  Sha256Digest Generator(const GenerationOptions& options,
                         const std::string& dtype = "float32") {
    return GeneratorFingerprint(bundle_, digests_, dtype, options);
  }
  Sha256Digest Encoder(const PrototypeOptions& options) {
    return EncoderFingerprint(bundle_, digests_, "float32", options);
  }

  void SetUp() override {
    Sd15Test::SetUp();
    for (const SpaceSpec& space : bundle_.spaces) {
      digests_.spaces[space.name] = Sha256Of(space.name);
    }
  }

  BundleDigests digests_;
};

TEST_F(FingerprintTest, EveryGeneratorOptionCountsButTheBatchSize) {
  const Sha256Digest base = Generator({});
  GenerationOptions options;
  options.batch_size = 1;
  EXPECT_EQ(Generator(options), base);
  EXPECT_NE(Generator({}, "float16"), base);
  const std::vector<std::function<void(GenerationOptions&)>> changes = {
      [](auto& o) { o.num_pictures = 31; },
      [](auto& o) { o.num_steps = 31; },
      [](auto& o) { o.guidance_scale = 8.5; },
      [](auto& o) { o.prompt_template = "a {}"; },
      [](auto& o) { o.negative_prompt = ""; },
      [](auto& o) { o.seed = 43; },
      [](auto& o) { o.noise_dtype = "float16"; },
      [](auto& o) { o.self_attention_rounds = 1; },
      [](auto& o) { o.final_sigmas_type = "zero"; }};
  for (const auto& change : changes) {
    options = {};
    change(options);
    EXPECT_NE(Generator(options), base);
  }
  bundle_.picture_size = 256;
  EXPECT_NE(Generator({}), base);
}

TEST_F(FingerprintTest, EveryEncoderOptionCounts) {
  const Sha256Digest base = Encoder({});
  const std::vector<std::function<void(PrototypeOptions&)>> changes = {
      [](auto& o) { o.num_parts = 31; },
      [](auto& o) { o.kmeans_max_iterations = 31; },
      [](auto& o) { o.kmeans_seed = 1; },
      [](auto& o) { o.otsu_bins = 255; },
      [](auto& o) { o.fallback_background = 0.1; },
      [](auto& o) { o.fallback_foreground = 0.6; },
      [](auto& o) { o.min_cell_coverage = 0.4; },
      [](auto& o) { o.noise_seed = 44; },
      [](auto& o) {
        o.spaces = {"sd", "dino"};
      }};
  for (const auto& change : changes) {
    PrototypeOptions options;
    change(options);
    EXPECT_NE(Encoder(options), base);
  }
  // All spaces named are the same as none named, in any order.
  PrototypeOptions all;
  all.spaces = {"clip", "sd", "dino"};
  EXPECT_EQ(Encoder(all), base);
  // How photos are looked at changes no stored vector.
  bundle_.windows.stride = 100;
  bundle_.spaces[0].window.size = 100;
  EXPECT_EQ(Encoder({}), base);
  bundle_.spaces[0].layers.pop_back();
  EXPECT_NE(Encoder({}), base);
}

TEST_F(FingerprintTest, DigestsFollowTheBytesOfFiles) {
  const auto bundle = ReadBundle(kDemo);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const auto digests = DigestBundle(*bundle);
  ASSERT_TRUE(digests.ok()) << digests.status();
  EXPECT_EQ(digests->spaces.at("sd"), digests->diffusion);
  EXPECT_NE(digests->spaces.at("dino"), digests->spaces.at("clip"));
  EXPECT_EQ(digests->cutler, Sha256Digest{});
  // Any folder with a config.json and weights has a digest.
  Bundle with = *bundle;
  with.cutler.emplace().folder = with.FindSpace("dino")->folder;
  EXPECT_EQ(DigestBundle(with)->cutler, digests->spaces.at("dino"));
  // Folders without weights.
  EXPECT_EQ(DigestBundle(bundle_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ovdiff::engine
