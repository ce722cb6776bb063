// Cosine similarity of picture features to prototype vectors, best vector of a
// class (method.md section 6, steps 3 and 4), and of prototypes to each other
// (section 8).
#ifndef OVDIFF_ENGINE_OPS_MATCHING_H_
#define OVDIFF_ENGINE_OPS_MATCHING_H_

#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Score of a class without vectors: as a disabled class, it can never win.
inline constexpr float kNoMatch = -1.0f;

// `vectors` [P, C] any float dtype -> [P', C] float32 of length 1, same device.
// Rows that are zero or not finite have no direction and are left out, so
// P' <= P and may be 0. `rows`, if not null, becomes which they were: int64
// [P']. Done once, when a class is loaded.
torch::Tensor NormalisedVectors(const torch::Tensor& vectors,
                                torch::Tensor* rows = nullptr);

// Best cosine of each cell to each class.
//   features: [C, h, w] or [B, C, h, w], any float dtype, not normalised
//   classes:  each [P_i, C] float32 from NormalisedVectors(), same device; P_i
//             may differ and may be 0. Pass the kept classes only: matrices are
//             read where they lie, never concatenated or copied.
// Returns [K, h, w] or [B, K, h, w] float32 in -1…1, row k being classes[k]. A
// class without vectors scores kNoMatch. A cell that is zero or not finite
// scores 0 for every class, which the argmax reads as background. Memory beyond
// arguments and result is bounded, however many classes there are.
torch::Tensor MatchClasses(const torch::Tensor& features,
                           absl::Span<const torch::Tensor> classes);

// Best cosine to any background vector of any of `backgrounds` (shapes as
// above; the kept classes only): [h, w] or [B, h, w]. nullopt if none has a
// vector: the space then abstains from background (method.md 14.12).
std::optional<torch::Tensor> MatchBackground(
    const torch::Tensor& features, absl::Span<const torch::Tensor> backgrounds);

// The cosine of every vector to every cell of one picture, summed by weight:
//   features: [C, h, w], weights: float32 [h, w] on the same device
//   classes:  as above
// Returns one float32 [P_i] a class. Cosines are those of which MatchClasses()
// takes the maximum; only cells whose weight is not 0 are looked at.
std::vector<torch::Tensor> WeightedCosines(
    const torch::Tensor& features, const torch::Tensor& weights,
    absl::Span<const torch::Tensor> classes);

// The rows of `vectors` [P, C] whose cosine to every row of all `others` is at
// most `threshold`, in their order; `vectors` itself if that is all of them,
// [0, C] if none. Matrices as above; `others` may be empty or have none.
// Cosines are cut to -1…1, so a threshold of 1 leaves nothing out. `rows`, if
// not null, is [P] on the CPU and loses the same entries.
torch::Tensor WithoutSimilar(const torch::Tensor& vectors,
                             absl::Span<const torch::Tensor> others,
                             double threshold, torch::Tensor* rows = nullptr);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_MATCHING_H_
