// The networks of the demo bundle, each call as the pipeline makes it.
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/bundle/bundle.h"
#include "engine/runners/model_set.h"
#include "engine/runners/noise.h"
#include "engine/runners/prompt_tokens.h"
#include "engine/runtime/compute_device.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Bundle, device and models, loaded once a program; the program ends if not.
struct Demo {
  Bundle bundle;
  std::unique_ptr<ComputeDevice> device;
  std::unique_ptr<ModelSet> models;

  static Demo& Get() {
    static Demo* const demo = [] {
      auto* loaded = new Demo();
      loaded->bundle =
          ReadBundle(OVDIFF_SOURCE_DIR "/deploy/bundles/demo").value();
      loaded->device = std::move(ComputeDevice::Create({}).value());
      loaded->models =
          std::move(ModelSet::Create(loaded->bundle, *loaded->device).value());
      return loaded;
    }();
    return *demo;
  }
};

// One denoising step of a batch of pictures, with guidance and attribution.
void BM_UnetStep(benchmark::State& state) {
  Demo& demo = Demo::Get();
  const StableDiffusionRunner& runner = *demo.models->diffusion;
  const int64_t pictures = state.range(0);
  const int64_t side = demo.bundle.picture_size / runner.downscale();
  const DpmSolverRun plan = runner.PlanSteps(30, "sigma_min").value();
  const std::vector<int64_t> ids =
      PaddedIds(runner.tokenizer(), "a bag", runner.context_length()).value();
  torch::Tensor text;
  demo.device
      ->ForEach(1,
                [&](int64_t) {
                  text = runner.EncodeText(ids);
                  return absl::OkStatus();
                })
      .IgnoreError();
  for (auto _ : state) {
    state.PauseTiming();
    NoiseSource noise(1);
    std::vector<DenoisingRun> runs;
    for (int64_t i = 0; i < pictures; ++i) {
      runs.push_back(runner.StartDenoising(
          plan,
          {.latents = noise.Draw({1, runner.latent_channels(), side, side},
                                 torch::kFloat32),
           .conditional = text,
           .unconditional = text,
           .guidance_scale = 8,
           .token_columns = {1}}));
    }
    state.ResumeTiming();
    const absl::Status status = demo.device->ForEach(pictures, [&](int64_t i) {
      runs[i].Step();
      return absl::OkStatus();
    });
    if (!status.ok()) {
      state.SkipWithError(std::string(status.message()).c_str());
    }
  }
  state.SetItemsProcessed(state.iterations() * pictures);
}
BENCHMARK(BM_UnetStep)->Arg(1)->Arg(8)->UseRealTime();

void BM_VaeDecode(benchmark::State& state) {
  Demo& demo = Demo::Get();
  const StableDiffusionRunner& runner = *demo.models->diffusion;
  const int64_t side = demo.bundle.picture_size / runner.downscale();
  const torch::Tensor latents = NoiseSource(1).Draw(
      {state.range(0), runner.latent_channels(), side, side}, torch::kFloat32);
  for (auto _ : state) {
    auto images = demo.device->MapBatch(
        latents, [&](const torch::Tensor& x) { return runner.Decode(x); });
    benchmark::DoNotOptimize(images);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_VaeDecode)->Arg(1)->Arg(8)->UseRealTime();

// Features of a batch of windows in space `range(0)`.
void BM_Features(benchmark::State& state) {
  Demo& demo = Demo::Get();
  const FeatureExtractor& space = *demo.models->spaces[state.range(0)];
  state.SetLabel(space.spec().name);
  const int64_t side = space.spec().window.size;
  torch::manual_seed(1);
  const torch::Tensor images = torch::rand({state.range(1), 3, side, side});
  for (auto _ : state) {
    auto features = demo.device->MapBatch(images, [&](const torch::Tensor& x) {
      return space.Extract(x, {.seed = 43});
    });
    benchmark::DoNotOptimize(features);
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
}
BENCHMARK(BM_Features)->ArgsProduct({{0, 1, 2}, {1, 8}})->UseRealTime();

// One text through the prefilter's text tower.
void BM_TextEmbedding(benchmark::State& state) {
  Demo& demo = Demo::Get();
  const std::vector<int64_t> ids =
      UnpaddedIds(*demo.models->prefilter_tokenizer,
                  "a bag and a coat and a sandal",
                  demo.models->prefilter->context_length())
          .value();
  for (auto _ : state) {
    const absl::Status status = demo.device->ForEach(1, [&](int64_t) {
      benchmark::DoNotOptimize(demo.models->prefilter->EmbedTexts({ids}));
      return absl::OkStatus();
    });
    benchmark::DoNotOptimize(status);
  }
}
BENCHMARK(BM_TextEmbedding)->UseRealTime();

}  // namespace
}  // namespace ovdiff::engine

BENCHMARK_MAIN();
