#include "engine/nn/position_interpolation.h"

#include <cmath>

#include "torch/torch.h"

namespace ovdiff::engine {

namespace F = torch::nn::functional;

torch::Tensor InterpolatePositions(const torch::Tensor& table, int64_t height,
                                   int64_t width, int64_t patch_size,
                                   PositionInterpolation rule) {
  const int64_t grid_height = height / patch_size;
  const int64_t grid_width = width / patch_size;
  const int64_t num_patches = table.size(0) - 1;
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(double(num_patches))));
  TORCH_CHECK(side * side == num_patches, "a position table of ", num_patches,
              " patches is not square");
  TORCH_CHECK(grid_height > 0 && grid_width > 0, "an image of ", height, " x ",
              width, " pixels has no patch of ", patch_size);
  if (height == width && grid_height == side) {
    return table;
  }
  auto options =
      F::InterpolateFuncOptions().mode(torch::kBicubic).align_corners(false);
  if (rule == PositionInterpolation::kSize) {
    options.size(std::vector<int64_t>{grid_height, grid_width});
  } else {
    options
        .scale_factor(std::vector<double>{(grid_height + 0.1) / side,
                                          (grid_width + 0.1) / side})
        .recompute_scale_factor(false);
  }
  const torch::Tensor patches =
      table.narrow(0, 1, num_patches)
          .to(torch::kFloat)  // bicubic has no half kernel on the CPU
          .view({1, side, side, -1})
          .permute({0, 3, 1, 2});
  const torch::Tensor resized =
      F::interpolate(patches, options);  // [1, D, gh, gw]
  TORCH_CHECK(resized.size(2) == grid_height && resized.size(3) == grid_width,
              "positions came out as ", resized.sizes(), " for a grid of ",
              grid_height, " x ", grid_width);
  return torch::cat(
      {table.narrow(0, 0, 1), resized.permute({0, 2, 3, 1})
                                  .reshape({grid_height * grid_width, -1})
                                  .to(table.scalar_type())},
      0);
}

int64_t ResolveLayer(int64_t layer, int64_t num_layers) {
  const int64_t index = layer < 0 ? layer + num_layers : layer;
  TORCH_CHECK(index >= 0 && index < num_layers, "layer ", layer,
              " does not exist in a network of ", num_layers, " layers");
  return index;
}

torch::Tensor PatchRowsToMap(const torch::Tensor& rows, int64_t grid_height,
                             int64_t grid_width) {
  return rows.narrow(1, 1, grid_height * grid_width)
      .unflatten(1, {grid_height, grid_width})
      .permute({0, 3, 1, 2});
}

}  // namespace ovdiff::engine
