#include "engine/ops/attribution.h"

#include <cstdint>

namespace ovdiff::engine {
namespace {

// Below this a range counts as this: a flat map must not become noise.
constexpr double kMinRange = 1e-6;
// Shares of an area are sums of float32 values.
constexpr double kCoverageTolerance = 1e-6;

}  // namespace

AttributionAccumulator::AttributionAccumulator(int64_t height, int64_t width)
    : height_(height), width_(width) {
  TORCH_CHECK(height >= 1 && width >= 1, "attribution grid must not be empty");
}

void AttributionAccumulator::Add(const torch::Tensor& probabilities, int64_t h,
                                 int64_t w) {
  TORCH_CHECK(probabilities.dim() == 4 && probabilities.size(2) == h * w,
              "probabilities must be [B, heads, ", h, " * ", w, ", T], got ",
              probabilities.sizes());
  const int64_t batch = probabilities.size(0);
  const int64_t maps = probabilities.size(1) * probabilities.size(3);
  // [B, heads, h*w, T] -> [B, heads * T, h, w]
  torch::Tensor resized = probabilities.to(torch::kFloat32)
                              .transpose(2, 3)
                              .reshape({batch, maps, h, w});
  if (h != height_ || w != width_) {
    resized = at::upsample_bicubic2d(resized, {height_, width_},
                                     /*align_corners=*/false);
  }
  // Tokens have equal weight, so their mean can be taken with the heads'.
  const torch::Tensor sum = resized.clamp_min(0).sum(1);  // [B, H, W]
  if (sum_.defined()) {
    sum_.add_(sum);
  } else {
    sum_ = sum;
  }
  num_maps_ += maps;
}

torch::Tensor AttributionAccumulator::Finish() const {
  TORCH_CHECK(sum_.defined() && num_maps_ > 0, "no attribution was added");
  return sum_ / static_cast<double>(num_maps_);
}

torch::Tensor StretchToUnit(const torch::Tensor& maps) {
  TORCH_CHECK(maps.dim() == 3, "maps must be [N, h, w], got ", maps.sizes());
  const torch::Tensor low = maps.amin({1, 2}, /*keepdim=*/true);
  const torch::Tensor range =
      (maps.amax({1, 2}, /*keepdim=*/true) - low).clamp_min_(kMinRange);
  return (maps - low).div_(range);
}

torch::Tensor ResizeAndStretch(const torch::Tensor& maps, int64_t height,
                               int64_t width) {
  TORCH_CHECK(maps.dim() == 3, "maps must be [N, h, w], got ", maps.sizes());
  return StretchToUnit(at::upsample_bilinear2d(maps.unsqueeze(1),
                                               {height, width},
                                               /*align_corners=*/false)
                           .squeeze(1));
}

AttributionMasks ThresholdMaps(const torch::Tensor& maps,
                               const OtsuThresholds& thresholds) {
  return {.foreground = maps > thresholds.upper,
          .background = maps < thresholds.lower};
}

torch::Tensor MaskToGrid(const torch::Tensor& mask, int64_t grid_h,
                         int64_t grid_w, double min_coverage) {
  TORCH_CHECK(mask.dim() == 3 && mask.scalar_type() == torch::kBool,
              "mask must be [N, H, W] bool, got ", mask.sizes());
  const torch::Tensor coverage =
      at::adaptive_avg_pool2d(mask.to(torch::kFloat32), {grid_h, grid_w});
  return (coverage >= min_coverage - kCoverageTolerance)
      .logical_and_(coverage > 0);
}

torch::Tensor MaskToGridBilinear(const torch::Tensor& mask, int64_t grid_h,
                                 int64_t grid_w) {
  TORCH_CHECK(mask.dim() == 3 && mask.scalar_type() == torch::kBool,
              "mask must be [N, H, W] bool, got ", mask.sizes());
  return at::upsample_bilinear2d(mask.to(torch::kFloat32).unsqueeze(1),
                                 {grid_h, grid_w}, /*align_corners=*/false)
             .squeeze(1) > 0;
}

}  // namespace ovdiff::engine
