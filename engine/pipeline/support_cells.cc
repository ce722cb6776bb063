#include "engine/pipeline/support_cells.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Shorter features keep no direction; all 0 stays all 0.
constexpr double kLeastLength = 1e-12;

// Room for the rows of `cells` [N, grid] bool, whose numbers are known before
// any feature is.
CellRows Allocate(const torch::Tensor& cells, int64_t dim,
                  torch::Device device) {
  CellRows result;
  result.first.push_back(0);
  const torch::Tensor counts = cells.sum(1).to(torch::kInt64).contiguous();
  for (int64_t i = 0; i < counts.size(0); ++i) {
    result.first.push_back(result.first.back() + counts.data_ptr<int64_t>()[i]);
  }
  result.rows = torch::empty({result.first.back(), dim},
                             torch::dtype(torch::kFloat32).device(device));
  return result;
}

// The rows of picture `index` out of `vectors` [grid, C].
void Fill(const torch::Tensor& vectors, const torch::Tensor& cells,
          int64_t index, CellRows* out) {
  const int64_t count = out->first[index + 1] - out->first[index];
  if (count == 0) {
    return;
  }
  const torch::Tensor chosen =
      cells[index].nonzero().squeeze(1).to(vectors.device());
  out->rows.narrow(0, out->first[index], count)
      .copy_(vectors.index_select(0, chosen));
}

}  // namespace

int32_t CellRows::PictureOf(int64_t row) const {
  const auto after = std::upper_bound(first.begin(), first.end(), row);
  return static_cast<int32_t>(after - first.begin()) - 1;
}

absl::Status SupportCells::Prepare(const torch::Tensor& features) {
  const int64_t pictures = masks_.foreground.size(0);
  const int64_t grid_height = features.size(1);
  const int64_t grid_width = features.size(2);
  const auto to_cells = [&](const torch::Tensor& mask) {
    const torch::Tensor cells =
        options_.cell_rule == kBilinearCells
            ? MaskToGridBilinear(mask, grid_height, grid_width)
            : MaskToGrid(mask, grid_height, grid_width,
                         options_.min_cell_coverage);
    return cells.reshape({pictures, grid_height * grid_width});
  };
  foreground_cells_ = to_cells(masks_.foreground);
  const torch::Tensor has_object =
      foreground_cells_.any(/*dim=*/1, /*keepdim=*/true);
  const torch::Tensor free_cells =
      MaskToGrid(masks_.background, grid_height, grid_width,
                 /*min_coverage=*/1.0)
          .reshape({pictures, grid_height * grid_width});
  background_cells_ = at::where(given_, free_cells, to_cells(masks_.background))
                          .logical_and(has_object);
  if (!has_object.any().item<bool>()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "none of the ", pictures,
        " support pictures has a foreground in space ", space_, " (",
        grid_width, "x", grid_height, " cells, cell_rule ", options_.cell_rule,
        ", min_cell_coverage ", options_.min_cell_coverage,
        "): the prompt's words drew no attention to one "
        "place, or the objects of the given masks are smaller than a cell; try "
        "other words, pictures that show it larger, or with masks"));
  }
  foreground_ =
      Allocate(foreground_cells_, features.size(0), features.device());
  background_ =
      Allocate(background_cells_, features.size(0), features.device());
  return absl::OkStatus();
}

absl::Status SupportCells::Add(int64_t index, const torch::Tensor& features) {
  if (!foreground_cells_.defined()) {
    OVDIFF_RETURN_IF_ERROR(Prepare(features));
  }
  if (!features.isfinite().all().item<bool>()) {
    return absl::InternalError(absl::StrCat(
        "space ", space_, ": the features of support picture ", index,
        " are not finite; the weights or their precision do not suit"));
  }
  torch::Tensor vectors = features.flatten(1).transpose(0, 1);
  if (options_.normalize_features) {
    vectors =
        vectors /
        vectors.norm(2, /*dim=*/1, /*keepdim=*/true).clamp_min(kLeastLength);
  }
  Fill(vectors, foreground_cells_, index, &foreground_);
  Fill(vectors, background_cells_, index, &background_);
  return absl::OkStatus();
}

}  // namespace ovdiff::engine
