// The whole of AddClasses' and Segment's engine work on the demo bundle.
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/engine.h"

namespace ovdiff::engine {
namespace {

Engine& Demo() {
  static Engine* const engine = [] {
    EngineOptions options;
    options.bundle_path = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
    return CreateEngine(options).value().release();
  }();
  return *engine;
}

SupportSet Paint(int pictures) {
  GenerationOptions options = Demo().info().generation;
  options.num_pictures = pictures;
  return Demo().PaintSupportSet("sneaker", options, {}, nullptr).value();
}

void BM_PaintSupportSet(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(Paint(static_cast<int>(state.range(0))));
  }
}
BENCHMARK(BM_PaintSupportSet)
    ->Arg(32)
    ->Unit(benchmark::kSecond)
    ->Iterations(1)
    ->UseRealTime();

void BM_BuildPrototypeSet(benchmark::State& state) {
  const SupportSet support = Paint(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(Demo().BuildPrototypeSet(
        support, Demo().info().prototype, {}, nullptr));
  }
}
BENCHMARK(BM_BuildPrototypeSet)
    ->Arg(32)
    ->Unit(benchmark::kSecond)
    ->Iterations(1)
    ->UseRealTime();

// `range(0)` classes, whose prototypes are copies of one class's: what they
// cost does not depend on what they hold. The first call, with a cold text
// cache, is not timed.
void BM_Segment(benchmark::State& state) {
  static const auto prototypes =
      Demo()
          .LoadPrototypes(Demo()
                              .BuildPrototypeSet(Paint(8),
                                                 Demo().info().prototype, {},
                                                 nullptr)
                              .value())
          .value();
  static const Image scene = Paint(1).pictures[0].image;
  std::vector<SegmentClass> classes;
  for (int i = 0; i < state.range(0); ++i) {
    classes.push_back({static_cast<uint16_t>(i + 1),
                       "class " + std::to_string(i), ClassKind::kThing,
                       prototypes});
  }
  const auto segment = [&] {
    return Demo().Segment(scene, classes, Demo().info().segment, {});
  };
  benchmark::DoNotOptimize(segment());
  for (auto _ : state) {
    benchmark::DoNotOptimize(segment());
  }
}
BENCHMARK(BM_Segment)
    ->Arg(10)
    ->Arg(100)
    ->Arg(1000)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace ovdiff::engine

BENCHMARK_MAIN();
