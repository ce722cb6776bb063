// The draws of k-means++: those of scikit-learn 1.2, on the host, so that its
// centres come out.
#ifndef OVDIFF_ENGINE_OPS_KMEANS_RANDOM_H_
#define OVDIFF_ENGINE_OPS_KMEANS_RANDOM_H_

#include <cstdint>
#include <random>
#include <vector>

#include "absl/types/span.h"

namespace ovdiff::engine {

// numpy's RandomState of a seed: MT19937. Thread-compatible.
class KMeansRandom {
 public:
  // Both halves count of a seed beyond 32 bits.
  explicit KMeansRandom(uint64_t seed)
      : bits_(static_cast<uint32_t>(seed ^ (seed >> 32))) {}

  // RandomState.random_sample(): 53 bits of two draws, in [0, 1).
  double Uniform();
  // RandomState.randint(n): 0 to n - 1. n is 1 to 2^32; 1 draws nothing.
  int64_t Below(int64_t n);
  // `count` indices, each with probability proportional to its weight, as
  // scikit-learn's k-means++ draws candidates. Weights: finite, not negative.
  // Empty, with nothing drawn, if no weight is above 0.
  std::vector<int64_t> ByWeight(absl::Span<const float> weights, int count);

 private:
  std::mt19937 bits_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_KMEANS_RANDOM_H_
