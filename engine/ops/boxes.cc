#include "engine/ops/boxes.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

void CheckBoxes(const torch::Tensor& boxes) {
  TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_cpu() &&
                  boxes.scalar_type() == torch::kFloat32,
              "boxes must be float32 [K, 4] on the CPU, found ",
              boxes.scalar_type(), " ", boxes.sizes());
}

// In torchvision's order of operations, so that what is at the threshold there
// is so here.
float IntersectionOverUnion(const float* a, const float* b) {
  const float width =
      std::max(0.0F, std::min(a[2], b[2]) - std::max(a[0], b[0]));
  const float height =
      std::max(0.0F, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  const float both = width * height;
  const float area_a = (a[2] - a[0]) * (a[3] - a[1]);
  const float area_b = (b[2] - b[0]) * (b[3] - b[1]);
  return both / (area_a + area_b - both);
}

}  // namespace

torch::Tensor DecodeBoxes(const torch::Tensor& deltas,
                          const torch::Tensor& boxes,
                          const DeltaWeights& weights) {
  CheckBoxes(deltas);
  CheckBoxes(boxes);
  static const double kMostStretch = std::log(1000.0 / 16);
  const torch::Tensor d =
      deltas / torch::tensor({weights[0], weights[1], weights[2], weights[3]},
                             torch::kFloat32);
  const torch::Tensor low = boxes.narrow(1, 0, 2);  // [K, 2]: x, y
  const torch::Tensor sides = boxes.narrow(1, 2, 2) - low;
  const torch::Tensor centres = d.narrow(1, 0, 2) * sides + (low + 0.5 * sides);
  const torch::Tensor half =
      d.narrow(1, 2, 2).clamp_max(kMostStretch).exp() * sides * 0.5;
  return torch::cat({centres - half, centres + half}, 1);
}

torch::Tensor ClipBoxes(const torch::Tensor& boxes, double width,
                        double height) {
  CheckBoxes(boxes);
  const torch::Tensor limits =
      torch::tensor({width, height, width, height}, torch::kFloat32);
  return torch::minimum(boxes.clamp_min(0), limits);
}

torch::Tensor NonEmptyBoxes(const torch::Tensor& boxes) {
  CheckBoxes(boxes);
  return (boxes.narrow(1, 2, 2) > boxes.narrow(1, 0, 2)).all(1);
}

torch::Tensor SuppressBoxes(const torch::Tensor& boxes,
                            const torch::Tensor& scores, double iou_threshold) {
  CheckBoxes(boxes);
  TORCH_CHECK(scores.dim() == 1 && scores.size(0) == boxes.size(0),
              "one score a box: ", scores.sizes(), " for ", boxes.sizes());
  const torch::Tensor order = std::get<1>(
      torch::sort(scores, /*stable=*/true, /*dim=*/0, /*descending=*/true));
  const torch::Tensor sorted = boxes.index_select(0, order).contiguous();
  const float* rows = sorted.data_ptr<float>();
  const int64_t* indices = order.data_ptr<int64_t>();
  std::vector<const float*> kept_rows;
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < order.numel(); ++i) {
    const float* row = rows + 4 * i;
    const bool covered =
        std::any_of(kept_rows.begin(), kept_rows.end(), [&](const float* best) {
          return IntersectionOverUnion(best, row) > iou_threshold;
        });
    if (!covered) {
      kept_rows.push_back(row);
      kept.push_back(indices[i]);
    }
  }
  return torch::tensor(kept, torch::kInt64);
}

}  // namespace ovdiff::engine
