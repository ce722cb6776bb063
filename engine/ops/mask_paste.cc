#include "engine/ops/mask_paste.h"

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Bilinear weights of one axis, [pixels, cells]: a tent around each cell's
// centre. A box's cells divide start…end evenly.
torch::Tensor AxisWeights(float start, float end, int64_t pixels, int64_t cells,
                          torch::Device device) {
  const torch::Tensor at =
      (torch::arange(pixels, torch::kFloat32) + 0.5 - start) *
          (static_cast<double>(cells) / (end - start)) -
      0.5;
  const torch::Tensor distance =
      (at.unsqueeze(1) - torch::arange(cells, torch::kFloat32)).abs();
  return (1 - distance).clamp_min(0).to(device);
}

}  // namespace

torch::Tensor PasteMasks(const torch::Tensor& masks, const torch::Tensor& boxes,
                         int64_t height, int64_t width) {
  TORCH_CHECK(masks.dim() == 3 && boxes.dim() == 2 && boxes.size(1) == 4 &&
                  masks.size(0) == boxes.size(0),
              "a box a mask: ", masks.sizes(), " and ", boxes.sizes());
  const auto corners = boxes.accessor<float, 2>();
  torch::Tensor pasted =
      torch::empty({masks.size(0), height, width}, torch::kBool);
  for (int64_t i = 0; i < masks.size(0); ++i) {
    const torch::Tensor rows = AxisWeights(corners[i][1], corners[i][3], height,
                                           masks.size(1), masks.device());
    const torch::Tensor columns = AxisWeights(
        corners[i][0], corners[i][2], width, masks.size(2), masks.device());
    pasted[i].copy_(rows.matmul(masks[i]).matmul(columns.t()) >= 0.5);
  }
  return pasted;
}

}  // namespace ovdiff::engine
