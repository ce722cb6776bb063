#include "engine/ops/roi_align.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr int64_t kBoxesAtOnce = 128;

// The samples of a box are a grid and bilinear weights are products, so a bin's
// weights are those of its row times those of its column. One axis of one bin:
// the cells from `first` on, and how much each counts.
struct BinAxis {
  int64_t first = 0;
  std::vector<float> weights;
};

void AddSample(float at, int64_t cells, BinAxis* bin) {
  if (at < -1.0F || at > static_cast<float>(cells)) {
    return;
  }
  at = std::max(at, 0.0F);
  const int64_t low = std::min(static_cast<int64_t>(at), cells - 1);
  const bool at_border = low == cells - 1;
  const float part = at_border ? 0.0F : at - static_cast<float>(low);
  if (bin->weights.empty()) {
    bin->first = low;
  }
  // Samples ascend by at most one cell: the run of cells has no gap.
  const auto row = static_cast<size_t>(low - bin->first);
  bin->weights.resize(std::max(bin->weights.size(), row + (at_border ? 1 : 2)));
  bin->weights[row] += 1.0F - part;
  if (!at_border) {
    bin->weights[row + 1] += part;
  }
}

// The bins of one axis of a box from `start` to `end`, in cells.
std::vector<BinAxis> AxisBins(float start, float end, int64_t cells,
                              int64_t resolution) {
  const float side = (end - start) / static_cast<float>(resolution);
  const auto samples = static_cast<int64_t>(std::ceil(side));
  std::vector<BinAxis> bins(static_cast<size_t>(resolution));
  for (int64_t b = 0; b < resolution; ++b) {
    BinAxis& bin = bins[static_cast<size_t>(b)];
    for (int64_t s = 0; s < samples; ++s) {
      AddSample(start + static_cast<float>(b) * side +
                    (static_cast<float>(s) + 0.5F) * side /
                        static_cast<float>(samples),
                cells, &bin);
    }
    for (float& weight : bin.weights) {
      weight /= static_cast<float>(samples);
    }
  }
  return bins;
}

// Which cells each bin sums, with which weights, as embedding_bag takes it.
struct Bags {
  std::vector<int64_t> cells;
  std::vector<float> weights;
  std::vector<int64_t> ends = {0};  // bin i has [ends[i], ends[i + 1])

  void AddBox(const float* box, float scale, int64_t height, int64_t width,
              int64_t resolution) {
    const std::vector<BinAxis> columns = AxisBins(
        box[0] * scale - 0.5F, box[2] * scale - 0.5F, width, resolution);
    const std::vector<BinAxis> rows = AxisBins(
        box[1] * scale - 0.5F, box[3] * scale - 0.5F, height, resolution);
    for (const BinAxis& row : rows) {
      for (const BinAxis& column : columns) {
        AddBin(row, column, width);
      }
    }
  }

  void AddBin(const BinAxis& row, const BinAxis& column, int64_t width) {
    for (size_t y = 0; y < row.weights.size(); ++y) {
      const int64_t at =
          (row.first + static_cast<int64_t>(y)) * width + column.first;
      for (size_t x = 0; x < column.weights.size(); ++x) {
        cells.push_back(at + static_cast<int64_t>(x));
        weights.push_back(row.weights[y] * column.weights[x]);
      }
    }
    ends.push_back(static_cast<int64_t>(cells.size()));
  }
};

}  // namespace

torch::Tensor RoiAlign(const torch::Tensor& features,
                       const torch::Tensor& boxes, double scale,
                       int64_t resolution) {
  TORCH_CHECK(features.dim() == 3 && features.is_contiguous(),
              "features must be contiguous [H, W, C], found ",
              features.sizes());
  TORCH_CHECK(boxes.is_cpu() && boxes.isfinite().all().item<bool>(),
              "boxes must be finite and on the CPU");
  const int64_t height = features.size(0);
  const int64_t width = features.size(1);
  const torch::Tensor rows = features.view({height * width, -1});
  const torch::Tensor corners = boxes.contiguous();
  const torch::Device device = features.device();
  torch::Tensor result =
      torch::empty({boxes.size(0), features.size(2), resolution, resolution},
                   features.options());
  for (int64_t first = 0; first < boxes.size(0); first += kBoxesAtOnce) {
    const int64_t count = std::min(kBoxesAtOnce, boxes.size(0) - first);
    Bags bags;
    for (int64_t i = first; i < first + count; ++i) {
      bags.AddBox(corners.data_ptr<float>() + 4 * i, static_cast<float>(scale),
                  height, width, resolution);
    }
    const torch::Tensor bins = std::get<0>(at::embedding_bag(
        rows, torch::tensor(bags.cells, torch::kInt64).to(device),
        torch::tensor(bags.ends, torch::kInt64).to(device),
        /*scale_grad_by_freq=*/false, /*mode=*/0, /*sparse=*/false,
        torch::tensor(bags.weights, torch::kFloat32).to(device),
        /*include_last_offset=*/true));  // [count * resolution^2, C]
    result.narrow(0, first, count)
        .copy_(bins.view({count, resolution, resolution, -1})
                   .permute({0, 3, 1, 2}));
  }
  return result;
}

}  // namespace ovdiff::engine
