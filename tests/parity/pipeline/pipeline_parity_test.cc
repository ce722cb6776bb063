// One picture of the demo bundle against diffusers, transformers and timm,
// which make_goldens.py beside this file ran in the official program's order.
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/runners/model_set.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runtime/compute_device.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr char kBundle[] = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
constexpr char kGoldens[] =
    OVDIFF_SOURCE_DIR "/tests/parity/pipeline/goldens/demo.safetensors";

StateDict Goldens() {
  auto goldens = ReadSafetensors(kGoldens);
  EXPECT_TRUE(goldens.ok()) << goldens.status();
  return *goldens;
}

// Largest difference in units of the expected tensor's largest value.
double RelativeError(const torch::Tensor& actual,
                     const torch::Tensor& expected) {
  EXPECT_EQ(actual.sizes(), expected.sizes());
  return ((actual - expected).abs().max() / expected.abs().max())
      .item<double>();
}

double AttributionError(const SupportSet& support,
                        const torch::Tensor& expected) {
  const AttributionMap& map = support.pictures[0].attribution;
  const torch::Tensor values =
      torch::tensor(map.data).view({map.height, map.width});
  return RelativeError(values, expected);
}

TEST(PipelineParity, PicturesAndAttributionMaps) {
  EngineOptions options;
  options.bundle_path = kBundle;
  auto engine = CreateEngine(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  GenerationOptions generation;  // the paper's, but for these
  generation.num_pictures = 1;
  generation.num_steps = 4;
  generation.negative_prompt = "blurry";
  auto support =
      (*engine)->PaintSupportSet("red sneaker", generation, {}, nullptr);
  ASSERT_TRUE(support.ok()) << support.status();
  const StateDict goldens = Goldens();
  EXPECT_LT(AttributionError(*support, goldens.at("attribution")), 1e-4);
  const torch::Tensor picture = ToTensor(support->pictures[0].image)[0];
  const torch::Tensor expected =
      goldens.at("picture").permute({2, 0, 1}).to(torch::kFloat32) / 255;
  // 8 bits: a value at the edge of a step may fall to either side.
  EXPECT_LE((picture - expected).abs().max().item<double>(), 1.01 / 255);
  EXPECT_LT((picture - expected)
                .abs()
                .gt(0.001)
                .to(torch::kFloat32)
                .mean()
                .item<double>(),
            0.01);
  generation.self_attention_rounds = 2;
  const auto refined =
      (*engine)->PaintSupportSet("red sneaker", generation, {}, nullptr);
  ASSERT_TRUE(refined.ok()) << refined.status();
  EXPECT_LT(AttributionError(*refined, goldens.at("refined")), 1e-4);
}

TEST(PipelineParity, FeaturesOfEverySpace) {
  auto bundle = ReadBundle(kBundle);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  auto device = ComputeDevice::Create({.name = "cpu", .num_threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  auto models = ModelSet::Create(*bundle, **device);
  ASSERT_TRUE(models.ok()) << models.status();
  const StateDict goldens = Goldens();
  const torch::Tensor image =
      goldens.at("picture").permute({2, 0, 1}).to(torch::kFloat32) / 255;
  for (const auto& space : (*models)->spaces) {
    const auto features =
        (*device)->MapBatch(image.unsqueeze(0), [&](const torch::Tensor& x) {
          return space->Extract(x, {.seed = 43});
        });
    ASSERT_TRUE(features.ok()) << features.status();
    EXPECT_EQ(features->size(1), space->feature_dim());
    // The goldens hold a quarter of the cells each way of a 16x16 grid, half of
    // an 8x8 one.
    const int64_t step = features->size(2) / 4;
    const torch::Tensor sampled = (*features)[0]
                                      .slice(1, 0, c10::nullopt, step)
                                      .slice(2, 0, c10::nullopt, step);
    EXPECT_LT(RelativeError(sampled, goldens.at(space->spec().name)), 1e-4)
        << space->spec().name;
  }
}

}  // namespace
}  // namespace ovdiff::engine
