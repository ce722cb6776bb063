// K-means as the pipeline uses it: K = 32 over the cells of one class and side.
#include <benchmark/benchmark.h>

#include <cstdint>

#include "engine/ops/kmeans.h"

namespace ovdiff::engine {
namespace {

// Rows around 64 places, unevenly far apart, as features of pictures are.
torch::Tensor Rows(int64_t n, int64_t d) {
  torch::manual_seed(1);
  const torch::Tensor places = torch::randn({64, d}) * 2;
  return torch::randn({n, d}).add_(
      places.index_select(0, torch::randint(64, {n})));
}

// Arguments: rows, dimensions. Whole run, seeding included.
void BM_KMeans(benchmark::State& state) {
  const torch::Tensor rows = Rows(state.range(0), state.range(1));
  int64_t iterations = 0;
  for (auto _ : state) {
    const auto result = KMeans(rows, {.num_clusters = 32, .seed = 0});
    if (!result.ok()) {
      state.SkipWithError(result.status().ToString().c_str());
      break;
    }
    iterations += result->iterations;
  }
  state.counters["lloyd_iterations"] = benchmark::Counter(
      static_cast<double>(iterations), benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_KMeans)
    ->Args({8192, 64})
    ->Args({8192, 768})
    ->Args({8192, 7680})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace ovdiff::engine

BENCHMARK_MAIN();
