// Every name and shape of the full-size networks, built from their real
// configurations, against the lists in tests/parity/keys/.
#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "engine/nn/clip_model.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/vision_transformer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity/transformers/goldens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

std::vector<std::string> KeyList(const std::string& name) {
  std::ifstream file(
      absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/keys/", name, ".txt"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::string> KeysOf(const torch::nn::Module& module) {
  std::vector<std::string> lines;
  const auto add = [&](const std::string& name, const torch::Tensor& tensor) {
    lines.push_back(absl::StrCat(
        name, " ",
        tensor.dim() == 0 ? "scalar" : absl::StrJoin(tensor.sizes(), "x")));
  };
  for (const auto& item : module.named_parameters()) {
    add(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    add(item.key(), item.value());
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// The counts are networks.md's, found by another way than the lists.
template <typename Model, typename Config>
void ExpectKeys(const std::string& name, int64_t num_parameters) {
  const auto config = Config::FromJsonText(ParityConfig(name));
  ASSERT_TRUE(config.ok()) << config.status();
  const Model model(*config);
  std::vector<std::string> expected = KeyList(name);
  std::sort(expected.begin(), expected.end());
  ASSERT_FALSE(expected.empty());
  EXPECT_THAT(KeysOf(*model), ::testing::ElementsAreArray(expected));
  int64_t count = 0;
  for (const torch::Tensor& parameter : model->parameters()) {
    count += parameter.numel();
  }
  EXPECT_EQ(count, num_parameters);
}

TEST(FullSizeKeys, ClipB16) {
  ExpectKeys<CLIPModel, CLIPConfig>("clip_b16", 149'620'737);
}

TEST(FullSizeKeys, ClipL14) {
  ExpectKeys<CLIPModel, CLIPConfig>("clip_l14", 427'616'513);
}

TEST(FullSizeKeys, DinoB8) {
  ExpectKeys<VisionTransformer, VisionTransformerConfig>("dino_b8", 85'807'872);
}

TEST(FullSizeKeys, StableDiffusionTextEncoder) {
  ExpectKeys<CLIPTextModel, CLIPTextConfig>("sd15_text_encoder", 123'060'480);
}

}  // namespace
}  // namespace ovdiff::engine
