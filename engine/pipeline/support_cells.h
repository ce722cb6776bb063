// SupportCells: the feature vectors of a class's support pictures in one space,
// object and background apart (method.md section 5).
#ifndef OVDIFF_ENGINE_PIPELINE_SUPPORT_CELLS_H_
#define OVDIFF_ENGINE_PIPELINE_SUPPORT_CELLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/method_options.h"
#include "engine/ops/attribution.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Vectors of one side, grouped by picture.
struct CellRows {
  torch::Tensor rows;  // float32 [cells, C] on the features' device
  // [N + 1]: picture i has rows first[i] to first[i + 1] - 1.
  std::vector<int64_t> first;

  int64_t count() const { return first.back(); }
  // The picture that row `row` comes from.
  int32_t PictureOf(int64_t row) const;
};

// Filled picture by picture. A cell counts when it is inside the mask by
// PrototypeOptions::cell_rule, but background beside a given mask when nothing
// in it is the object's: masks that were found keep a margin, a given one has
// none. A picture without any foreground cell in this space is left out on both
// sides. Thread-compatible; runs on the device thread, throws what torch
// throws.
class SupportCells {
 public:
  // `masks`: [N, side, side] on the CPU; `given`: [N, 1] bool, which of them
  // the caller gave. `masks` and `options` must outlive this.
  SupportCells(std::string space, const AttributionMasks& masks,
               torch::Tensor given, const PrototypeOptions& options)
      : space_(std::move(space)),
        masks_(masks),
        given_(std::move(given)),
        options_(options) {}

  // `features`: float32 [C, gh, gw] of picture `index`; every picture once, all
  // of one shape. kInternal if a value is not finite; kFailedPrecondition if no
  // picture has a foreground cell (found at the first call).
  absl::Status Add(int64_t index, const torch::Tensor& features);

  const std::string& space() const { return space_; }
  const CellRows& foreground() const { return foreground_; }
  const CellRows& background() const { return background_; }

 private:
  absl::Status Prepare(const torch::Tensor& features);

  const std::string space_;
  const AttributionMasks& masks_;
  const torch::Tensor given_;
  const PrototypeOptions& options_;
  torch::Tensor foreground_cells_;  // [N, gh * gw] bool, CPU
  torch::Tensor background_cells_;
  CellRows foreground_;
  CellRows background_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SUPPORT_CELLS_H_
