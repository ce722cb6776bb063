#include "engine/pipeline/prototype_vectors.h"

#include <cstdint>
#include <vector>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

void Append(const torch::Tensor& vectors, PrototypeLevel level,
            const std::vector<int32_t>& sources, PrototypeVectors* out) {
  const torch::Tensor values =
      vectors.to(torch::kCPU, torch::kFloat32).contiguous();
  const float* data = values.data_ptr<float>();
  out->values.insert(out->values.end(), data, data + values.numel());
  out->levels.insert(out->levels.end(), sources.size(), level);
  out->source_pictures.insert(out->source_pictures.end(), sources.begin(),
                              sources.end());
}

}  // namespace

void AppendMeans(const CellRows& cells, PrototypeVectors* out) {
  Append(cells.rows.mean(0, /*keepdim=*/true), PrototypeLevel::kClass, {-1},
         out);
  for (size_t picture = 0; picture + 1 < cells.first.size(); ++picture) {
    const int64_t count = cells.first[picture + 1] - cells.first[picture];
    if (count > 0) {
      Append(cells.rows.narrow(0, cells.first[picture], count)
                 .mean(0, /*keepdim=*/true),
             PrototypeLevel::kInstance, {static_cast<int32_t>(picture)}, out);
    }
  }
}

void AppendParts(const CellRows& cells, const KMeansResult& result,
                 PrototypeVectors* out) {
  const torch::Tensor nearest = result.nearest_row.to(torch::kCPU).contiguous();
  std::vector<int32_t> sources;
  for (int64_t k = 0; k < nearest.size(0); ++k) {
    sources.push_back(cells.PictureOf(nearest.data_ptr<int64_t>()[k]));
  }
  Append(result.centres, PrototypeLevel::kPart, sources, out);
}

}  // namespace ovdiff::engine
