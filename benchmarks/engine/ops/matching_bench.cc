// Matching a window's features with a vocabulary of 10, 100 and 1000 classes.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "engine/ops/matching.h"

namespace ovdiff::engine {
namespace {

constexpr int64_t kVectorsPerClass = 65;  // Class, 32 instances, 32 parts.

// Arguments: classes, dimensions, side of the feature grid. Foreground vectors
// of one window; the largest case reads 200 MB of vectors.
void BM_MatchClasses(benchmark::State& state) {
  torch::manual_seed(1);
  const int64_t dim = state.range(1);
  const int64_t side = state.range(2);
  const torch::Tensor features = torch::randn({dim, side, side});
  std::vector<torch::Tensor> classes;
  for (int64_t k = 0; k < state.range(0); ++k) {
    classes.push_back(NormalisedVectors(torch::randn({kVectorsPerClass, dim})));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(MatchClasses(features, classes));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * side * side);
}
BENCHMARK(BM_MatchClasses)
    ->ArgsProduct({{10, 100, 1000}, {64}, {16}})
    ->ArgsProduct({{10, 100, 1000}, {768}, {28}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace ovdiff::engine

BENCHMARK_MAIN();
