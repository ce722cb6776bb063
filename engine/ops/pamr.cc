#include "engine/ops/pamr.h"

#include <algorithm>
#include <array>
#include <utility>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr double kEpsilon = 1e-8;
constexpr double kDeviationShare = 0.1;
// Score values that are weighted at once: on a CPU what its cache holds.
constexpr int64_t kCpuTileValues = int64_t{1} << 15;
constexpr int64_t kGpuTileValues = int64_t{1} << 24;

// (dy, dx) of the neighbours, row by row.
constexpr std::array<std::pair<int, int>, 8> kNeighbours = {
    {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 1}, {1, -1}, {1, 0}, {1, 1}}};

// [K, H, W] with its border repeated `margin` times on all sides.
torch::Tensor Padded(const torch::Tensor& maps, int64_t margin) {
  return at::replication_pad2d(maps, {margin, margin, margin, margin});
}

// Rows y to y + rows - 1 of `padded`, moved by (dy, dx), as wide as unpadded.
torch::Tensor Moved(const torch::Tensor& padded, int64_t margin, int64_t y,
                    int64_t rows, int64_t dy, int64_t dx) {
  return padded.narrow(1, y + margin + dy, rows)
      .narrow(2, margin + dx, padded.size(2) - 2 * margin);
}

}  // namespace

PamrAffinity::PamrAffinity(const torch::Tensor& picture,
                           absl::Span<const int> dilations)
    : dilations_(dilations.begin(), dilations.end()),
      margin_(*std::max_element(dilations.begin(), dilations.end())) {
  const int64_t height = picture.size(1);
  const auto count = static_cast<double>(9 * dilations_.size());
  const torch::Tensor padded = Padded(picture, margin_);
  const auto each_neighbour = [&](auto&& visit) {
    for (const int dilation : dilations_) {
      for (const auto& [dy, dx] : kNeighbours) {
        visit(Moved(padded, margin_, 0, height, dy * dilation, dx * dilation));
      }
    }
  };
  const auto centres = static_cast<double>(dilations_.size());
  // Differences to the pixel itself: exact in float32, and the sums stay small.
  torch::Tensor mean = torch::zeros_like(picture);
  torch::Tensor spread = torch::zeros_like(picture);
  each_neighbour([&](const torch::Tensor& moved) { mean += moved - picture; });
  mean /= count;
  each_neighbour([&](const torch::Tensor& moved) {
    spread += (moved - picture - mean).square_();
  });
  spread += mean.square() * centres;
  const torch::Tensor scale =
      (spread / (count - 1)).sqrt_().mul_(kDeviationShare).add_(kEpsilon);
  weights_ = torch::empty(
      {8 * static_cast<int64_t>(dilations_.size()), height, picture.size(2)},
      picture.options());
  int64_t next = 0;
  each_neighbour([&](const torch::Tensor& moved) {
    weights_[next++].copy_((moved - picture).abs_().div_(scale).mean(0).neg_());
  });
  weights_ = at::softmax(weights_, 0);
}

torch::Tensor PamrAffinity::Refine(const torch::Tensor& maps,
                                   int iterations) const {
  const int64_t height = maps.size(1);
  const int64_t row_values = maps.size(0) * maps.size(2);
  const int64_t tile = maps.is_cuda() ? kGpuTileValues : kCpuTileValues;
  const int64_t step = std::max<int64_t>(1, tile / row_values);
  torch::Tensor refined = maps;
  for (int i = 0; i < iterations; ++i) {
    const torch::Tensor padded = Padded(refined, margin_);
    torch::Tensor out = torch::zeros_like(maps);
    for (int64_t y = 0; y < height; y += step) {
      const int64_t rows = std::min(step, height - y);
      torch::Tensor sum = out.narrow(1, y, rows);
      int64_t next = 0;
      for (const int dilation : dilations_) {
        for (const auto& [dy, dx] : kNeighbours) {
          sum.addcmul_(
              Moved(padded, margin_, y, rows, dy * dilation, dx * dilation),
              weights_[next++].narrow(0, y, rows));
        }
      }
    }
    refined = out;
  }
  return refined;
}

}  // namespace ovdiff::engine
