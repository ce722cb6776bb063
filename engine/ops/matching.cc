#include "engine/ops/matching.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ovdiff::engine {
namespace {

// Values that one chunk of similarities [vectors, cells] may have.
constexpr int64_t kMaxChunkValues = int64_t{1} << 24;

torch::Tensor WithBatch(const torch::Tensor& features) {
  TORCH_CHECK(features.dim() == 3 || features.dim() == 4,
              "features must be [C, h, w] or [B, C, h, w], got ",
              features.sizes());
  return features.dim() == 4 ? features : features.unsqueeze(0);
}

// Best similarity of each of `cells` [C, n] to a row of `vectors` [P, C], P >=
// 1, written to `best` [n]. Not divided by the cells' lengths.
void BestOfClass(const torch::Tensor& vectors, const torch::Tensor& cells,
                 torch::Tensor best) {
  const int64_t n = cells.size(1);
  const int64_t step = std::max<int64_t>(1, kMaxChunkValues / vectors.size(0));
  for (int64_t start = 0; start < n; start += step) {
    const int64_t count = std::min(step, n - start);
    const torch::Tensor similarity =
        at::mm(vectors, cells.narrow(1, start, count));  // [P, count]
    best.narrow(0, start, count).copy_(similarity.amax(0));
  }
}

// Lengths of `cells` [C, n], and which of them have a direction.
struct CellLengths {
  explicit CellLengths(const torch::Tensor& cells)
      : values(at::linalg_vector_norm(cells, 2, {0})),
        usable(values.isfinite().logical_and_(values > 0)) {}
  // `products` of vectors with the cells, [.., n], to cosines in place.
  void ToCosines(torch::Tensor products) const {
    products.div_(values).clamp_(-1, 1).masked_fill_(usable.logical_not(), 0);
  }
  torch::Tensor values;  // [n]
  torch::Tensor usable;  // [n] bool
};

// Best cosine of the cells of one picture, [C, n], to each class: `out` [K, n].
// The features are not normalised but the answers divided by their length,
// which saves a copy as large as the features.
void MatchPicture(const torch::Tensor& cells,
                  absl::Span<const torch::Tensor> classes, torch::Tensor out) {
  const CellLengths lengths(cells);
  for (size_t k = 0; k < classes.size(); ++k) {
    TORCH_CHECK(classes[k].dim() == 2 && classes[k].size(1) == cells.size(0),
                "class vectors must be [P, ", cells.size(0), "], got ",
                classes[k].sizes());
    torch::Tensor row = out[static_cast<int64_t>(k)];
    if (classes[k].size(0) == 0) {
      row.fill_(kNoMatch);
      continue;
    }
    BestOfClass(classes[k], cells, row);
    lengths.ToCosines(row);
  }
}

}  // namespace

torch::Tensor NormalisedVectors(const torch::Tensor& vectors,
                                torch::Tensor* rows) {
  TORCH_CHECK(vectors.dim() == 2, "vectors must be [P, C], got ",
              vectors.sizes());
  const torch::Tensor values = vectors.to(torch::kFloat32);
  // In double: squares of large float32 values overflow.
  const torch::Tensor lengths = at::linalg_vector_norm(
      values, 2, {1}, /*keepdim=*/false, torch::kFloat64);  // [P]
  const torch::Tensor usable =
      at::nonzero(lengths.isfinite().logical_and_(lengths > 0)).flatten();
  if (rows != nullptr) {
    *rows = usable;
  }
  return values.index_select(0, usable)
      .to(torch::kFloat64)
      .div_(lengths.index_select(0, usable).unsqueeze(1))
      .to(torch::kFloat32)
      .contiguous();
}

torch::Tensor MatchClasses(const torch::Tensor& features,
                           absl::Span<const torch::Tensor> classes) {
  const torch::Tensor batch = WithBatch(features);
  const int64_t h = batch.size(2);
  const int64_t w = batch.size(3);
  torch::Tensor scores =
      torch::empty({batch.size(0), static_cast<int64_t>(classes.size()), h * w},
                   batch.options().dtype(torch::kFloat32));
  for (int64_t b = 0; b < batch.size(0); ++b) {
    MatchPicture(batch[b].to(torch::kFloat32).flatten(1), classes, scores[b]);
  }
  scores = scores.view({batch.size(0), -1, h, w});
  return features.dim() == 4 ? scores : scores.squeeze(0);
}

std::optional<torch::Tensor> MatchBackground(
    const torch::Tensor& features,
    absl::Span<const torch::Tensor> backgrounds) {
  std::vector<torch::Tensor> some;
  for (const torch::Tensor& vectors : backgrounds) {
    if (vectors.size(0) > 0) {
      some.push_back(vectors);
    }
  }
  if (some.empty()) {
    return std::nullopt;
  }
  // Picture by picture: only one has a row for each class at a time.
  const torch::Tensor batch = WithBatch(features);
  std::vector<torch::Tensor> best;
  for (int64_t b = 0; b < batch.size(0); ++b) {
    best.push_back(MatchClasses(batch[b], some).amax(0));  // [h, w]
  }
  return features.dim() == 4 ? at::stack(best) : best[0];
}

std::vector<torch::Tensor> WeightedCosines(
    const torch::Tensor& features, const torch::Tensor& weights,
    absl::Span<const torch::Tensor> classes) {
  TORCH_CHECK(features.dim() == 3 && weights.dim() == 2 &&
                  features.size(1) == weights.size(0) &&
                  features.size(2) == weights.size(1),
              "features must be [C, h, w] and weights [h, w], got ",
              features.sizes(), " and ", weights.sizes());
  const torch::Tensor flat = weights.flatten();
  const torch::Tensor places = at::nonzero(flat).flatten();  // [m]
  const torch::Tensor cells =
      features.flatten(1).index_select(1, places).to(torch::kFloat32);
  const torch::Tensor shares = flat.index_select(0, places);
  const CellLengths lengths(cells);
  std::vector<torch::Tensor> sums;
  for (const torch::Tensor& vectors : classes) {
    torch::Tensor cosines = at::mm(vectors, cells);  // [P, m]
    lengths.ToCosines(cosines);
    sums.push_back(at::mv(cosines, shares));
  }
  return sums;
}

torch::Tensor WithoutSimilar(const torch::Tensor& vectors,
                             absl::Span<const torch::Tensor> others,
                             double threshold, torch::Tensor* rows) {
  const torch::Tensor columns = vectors.t();  // [C, P]
  torch::Tensor largest = torch::full({vectors.size(0)}, -1, vectors.options());
  torch::Tensor best = torch::empty_like(largest);
  for (const torch::Tensor& other : others) {
    TORCH_CHECK(other.dim() == 2 && other.size(1) == vectors.size(1),
                "vectors must be [P, ", vectors.size(1), "], got ",
                other.sizes());
    if (vectors.size(0) > 0 && other.size(0) > 0) {
      BestOfClass(other, columns, best);
      largest = at::maximum(largest, best);
    }
  }
  const torch::Tensor keep = largest.clamp_(-1, 1) <= threshold;
  if (keep.all().item<bool>()) {
    return vectors;
  }
  const torch::Tensor kept = at::nonzero(keep).flatten();
  if (rows != nullptr) {
    *rows = rows->index_select(0, kept.to(torch::kCPU));
  }
  return vectors.index_select(0, kept);
}

}  // namespace ovdiff::engine
