// PAMR of a COCO-size picture with 80 classes and background: time, and how
// much memory it takes beside what was there before.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>

#include "engine/base/method_options.h"
#include "engine/ops/pamr.h"

namespace ovdiff::engine {
namespace {

// As PictureScores does.
constexpr int64_t kMapsAtOnce = 4;

double PeakMegabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Arguments: height, width, maps. `peak_mb` counts picture, maps and result
// too; the process's own peak before is taken off, so it is the first case's.
void BM_Pamr(benchmark::State& state) {
  torch::manual_seed(1);
  const double before = PeakMegabytes();
  const int64_t height = state.range(0);
  const int64_t width = state.range(1);
  const int64_t count = state.range(2);
  const torch::Tensor picture = torch::rand({3, height, width}) * 255;
  const torch::Tensor maps = torch::rand({count, height, width});
  const PamrOptions options;
  for (auto _ : state) {
    const PamrAffinity affinity(picture, options.dilations);
    torch::Tensor result = torch::empty_like(maps);
    for (int64_t first = 0; first < count; first += kMapsAtOnce) {
      const int64_t some = std::min(kMapsAtOnce, count - first);
      result.narrow(0, first, some)
          .copy_(
              affinity.Refine(maps.narrow(0, first, some), options.iterations));
    }
    benchmark::DoNotOptimize(result);
  }
  state.counters["peak_mb"] = PeakMegabytes() - before;
}
BENCHMARK(BM_Pamr)
    ->Args({480, 640, 81})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace ovdiff::engine

BENCHMARK_MAIN();
