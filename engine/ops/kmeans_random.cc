#include "engine/ops/kmeans_random.h"

#include <algorithm>
#include <bit>

namespace ovdiff::engine {

double KMeansRandom::Uniform() {
  const uint32_t high = bits_() >> 5;
  const uint32_t low = bits_() >> 6;
  return (high * 0x1.0p26 + low) * 0x1.0p-53;
}

// A draw's lowest bits, again until they are below n.
int64_t KMeansRandom::Below(int64_t n) {
  const auto most = static_cast<uint32_t>(n - 1);
  const uint32_t mask = most == 0 ? 0 : ~uint32_t{0} >> std::countl_zero(most);
  uint32_t value = 0;
  do {
    value = n > 1 ? bits_() & mask : 0;
  } while (value > most);
  return value;
}

std::vector<int64_t> KMeansRandom::ByWeight(absl::Span<const float> weights,
                                            int count) {
  std::vector<double> cumulated(weights.size());
  double total = 0;
  int64_t last = -1;
  for (size_t i = 0; i < weights.size(); ++i) {
    total += weights[i];
    cumulated[i] = total;
    last = weights[i] > 0 ? static_cast<int64_t>(i) : last;
  }
  std::vector<int64_t> drawn;
  for (int i = 0; i < count && last >= 0; ++i) {
    const auto it =
        std::upper_bound(cumulated.begin(), cumulated.end(), Uniform() * total);
    drawn.push_back(std::min<int64_t>(it - cumulated.begin(), last));
  }
  return drawn;
}

}  // namespace ovdiff::engine
