#include "engine/ops/anchors.h"

#include <cmath>

#include "torch/torch.h"

namespace ovdiff::engine {

torch::Tensor GridAnchors(int64_t height, int64_t width, int64_t stride,
                          double size, const std::vector<double>& ratios) {
  const auto num_ratios = static_cast<int64_t>(ratios.size());
  torch::Tensor around = torch::empty({num_ratios, 4}, torch::kFloat32);
  auto values = around.accessor<float, 2>();
  for (int64_t i = 0; i < num_ratios; ++i) {
    const double w = std::sqrt(size * size / ratios[i]);
    const double h = ratios[i] * w;
    values[i][0] = static_cast<float>(-w / 2);
    values[i][1] = static_cast<float>(-h / 2);
    values[i][2] = static_cast<float>(w / 2);
    values[i][3] = static_cast<float>(h / 2);
  }
  const auto axis = [stride](int64_t cells) {
    return torch::arange(cells, torch::kFloat32) * static_cast<double>(stride);
  };
  const torch::Tensor x =
      axis(width).view({1, width, 1}).expand({height, width, 1});  // [H, W, 1]
  const torch::Tensor y =
      axis(height).view({height, 1, 1}).expand({height, width, 1});
  const torch::Tensor centres = torch::cat({x, y, x, y}, 2);  // [H, W, 4]
  return (centres.unsqueeze(2) + around).view({-1, 4});
}

}  // namespace ovdiff::engine
