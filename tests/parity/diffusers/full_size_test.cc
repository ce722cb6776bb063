// Stable Diffusion 1.5's UNet and VAE at full size, from their real configs:
// names and shapes against the lists that diffusers wrote, and one pass with
// seeded weights against diffusers' (make_goldens.py, full_size). Needs some
// 5 GB of memory.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/nn/autoencoder_kl.h"
#include "engine/nn/unet_2d_condition.h"
#include "tests/parity/diffusers/goldens.h"

namespace ovdiff::engine {
namespace {

constexpr double kRelative = 1e-4;

using ParameterMap = std::map<std::string, torch::Tensor>;

ParameterMap SortedParameters(const torch::nn::Module& module) {
  ParameterMap sorted;
  for (const auto& item : module.named_parameters()) {
    sorted[item.key()] = item.value();
  }
  return sorted;
}

// One line a tensor, as the lists have them.
std::vector<std::string> KeysAndShapes(const torch::nn::Module& module) {
  std::vector<std::string> lines;
  for (const auto& [name, tensor] : SortedParameters(module)) {
    lines.push_back(
        absl::StrCat(name, " ", absl::StrJoin(tensor.sizes(), "x")));
  }
  for (const auto& item : module.named_buffers()) {
    lines.push_back("buffer " + item.key());
  }
  return lines;
}

// The same draws as make_goldens.py, fill_by_name.
void FillByName(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  uint64_t seed = 1000;
  for (auto& [name, tensor] : SortedParameters(module)) {
    torch::manual_seed(seed++);
    torch::Tensor values = torch::randn(tensor.sizes());
    if (tensor.dim() > 1) {
      const double fan_in =
          static_cast<double>(tensor.numel() / tensor.size(0));
      values.div_(std::sqrt(fan_in));
    } else {
      values.mul_(0.1);
      if (absl::EndsWith(name, "weight")) values.add_(1.0);
    }
    torch::Tensor(tensor).copy_(values);
  }
  module.eval();
}

// Every k-th value and the norm of all, as make_goldens.py keeps them.
void ExpectSampled(const torch::Tensor& actual, const StateDict& io,
                   const std::string& name, int64_t count) {
  ASSERT_TRUE(actual.defined()) << name;
  const torch::Tensor flat = actual.contiguous().flatten();
  const int64_t stride = std::max<int64_t>(1, flat.numel() / count);
  EXPECT_LT(RelativeError(flat.slice(0, 0, flat.numel(), stride), io.at(name)),
            kRelative)
      << name;
  EXPECT_LT(RelativeError(flat.to(torch::kFloat64).norm().reshape({1}),
                          io.at(name + ".norm")),
            kRelative)
      << name;
}

std::string KeyList(const std::string& name) {
  return absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/keys/", name);
}

TEST(FullSizeUnet, KeysShapesAndOneStep) {
  const auto config = UNet2DConditionConfig::FromJsonText(
      ReadText(DiffusersGolden("configs/sd15_unet.json")));
  ASSERT_TRUE(config.ok()) << config.status();
  UNet2DConditionModel unet(*config);
  EXPECT_EQ(KeysAndShapes(*unet), ReadLines(KeyList("sd15_unet.txt")));
  const auto& layers = unet->cross_attention_layers();
  ASSERT_EQ(layers.size(), 16u);  // networks.md 1.6
  EXPECT_EQ(layers[6].name,
            "mid_block.attentions.0.transformer_blocks.0.attn2");

  FillByName(*unet);
  const StateDict io =
      ReadTensors(DiffusersGolden("goldens/full_size.safetensors"));
  torch::InferenceMode inference;
  torch::manual_seed(41);
  const torch::Tensor sample = torch::randn({1, 4, 32, 24});
  const torch::Tensor text = torch::randn({1, 77, 768});
  AttentionObserver observer;
  for (int64_t i = 0; i < 16; ++i) observer.query_layers.insert(i);
  int seen = 0;
  observer.on_queries = [&](const CrossAttentionQueries& q) {
    ++seen;
    ExpectSampled(q.values, io, absl::StrCat("unet.queries.", q.layer), 20);
  };
  const torch::Tensor output =
      unet(sample, torch::tensor({200.0F}), text, &observer);
  ExpectSampled(output, io, "unet.output", 400);
  EXPECT_EQ(seen, 16);
}

TEST(FullSizeVae, KeysShapesAndOnePass) {
  const auto config = AutoencoderKLConfig::FromJsonText(
      ReadText(DiffusersGolden("configs/sd15_vae.json")));
  ASSERT_TRUE(config.ok()) << config.status();
  AutoencoderKL vae(*config);
  EXPECT_EQ(KeysAndShapes(*vae), ReadLines(KeyList("sd15_vae.txt")));
  EXPECT_DOUBLE_EQ(vae->config().scaling_factor, 0.18215);
  EXPECT_EQ(vae->config().downscale(), 8);

  FillByName(*vae);
  const StateDict io =
      ReadTensors(DiffusersGolden("goldens/full_size.safetensors"));
  torch::InferenceMode inference;
  torch::manual_seed(42);
  const torch::Tensor image = torch::rand({1, 3, 64, 48}) * 2 - 1;
  const torch::Tensor latent = torch::randn({1, 4, 8, 6});
  const LatentDistribution latents = vae->encode(image);
  ExpectSampled(latents.mean, io, "vae.mean", 400);
  ExpectSampled(latents.logvar, io, "vae.logvar", 400);
  ExpectSampled(vae->decode(latent), io, "vae.decoded", 400);
}

}  // namespace
}  // namespace ovdiff::engine
