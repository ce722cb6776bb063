// KeyAffinity: which cells of a feature map resemble each other (networks.md
// 6.2): the links of MaskCut's graph.
#ifndef OVDIFF_ENGINE_OPS_KEY_AFFINITY_H_
#define OVDIFF_ENGINE_OPS_KEY_AFFINITY_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "torch/types.h"

namespace ovdiff::engine {

// More cells than this are refused by whoever makes a KeyAffinity: memory and
// time grow with the square of their number. A grid of 64 x 64.
inline constexpr int64_t kMaxAffinityCells = 4096;

// The symmetric matrix of zeros and ones that links cells whose keys' cosine is
// above a threshold. A cell whose key is zero is linked to nothing, itself
// included. Immutable, but for Multiply()'s buffers on a GPU:
// thread-compatible.
class KeyAffinity {
 public:
  // Lists of neighbours on the host take at most 2 n^2 bytes, and three times
  // that while they are made; one thread multiplies them fastest. A dense
  // float64 matrix on the keys' device takes 8 n^2 bytes.
  enum class Storage { kLists, kDense };

  // `keys`: float32 [C, n], finite, n <= kMaxAffinityCells, any device.
  // Throws what torch throws.
  KeyAffinity(const torch::Tensor& keys, double threshold, Storage storage);
  // Lists for keys on the CPU, else a dense matrix on their device.
  KeyAffinity(const torch::Tensor& keys, double threshold)
      : KeyAffinity(keys, threshold,
                    keys.is_cpu() ? Storage::kLists : Storage::kDense) {}

  int64_t num_cells() const { return num_cells_; }

  // y = M x; both [n] on the host.
  void Multiply(absl::Span<const double> x, absl::Span<double> y) const;

 private:
  int64_t num_cells_;
  // kLists: the neighbours of cell i are neighbours_[first_[i]] to
  // neighbours_[first_[i + 1] - 1], ascending.
  std::vector<int64_t> first_;
  std::vector<uint16_t> neighbours_;
  torch::Tensor dense_;  // kDense: [n, n] float64
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_KEY_AFFINITY_H_
