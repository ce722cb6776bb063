#include "engine/ops/maskcut.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/ops/key_affinity.h"

namespace ovdiff::engine {
namespace {

constexpr double kWeakAffinity = 1e-5;
constexpr double kSameMask = 0.5;     // intersection over union
constexpr double kCrumbShare = 0.01;  // of the grid
constexpr int kGroundCorners = 3;     // of the grid's four

using Cells = std::vector<uint8_t>;  // 0 or 1 a cell, row-major

absl::Status CheckInput(const torch::Tensor& keys,
                        const MaskCutOptions& options) {
  if (keys.dim() != 3 || keys.scalar_type() != torch::kFloat32 ||
      keys.size(0) < 1 || keys.size(1) * keys.size(2) < 1 ||
      keys.size(1) * keys.size(2) > kMaxAffinityCells) {
    return absl::InvalidArgumentError(absl::StrCat(
        "keys of MaskCut have ", keys.dim(), " dimensions and ", keys.numel(),
        " values; allowed is float32 [C, height, width] with 1 to ",
        kMaxAffinityCells, " cells"));
  }
  if (!(options.affinity_threshold > -1 && options.affinity_threshold < 1) ||
      options.max_masks < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("affinity_threshold ", options.affinity_threshold,
                     ", max_masks ", options.max_masks,
                     "; allowed are -1 to 1 (both excluded), and 1 and "
                     "more"));
  }
  if (!keys.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError("keys of MaskCut are not all finite");
  }
  return absl::OkStatus();
}

// The cells of `side` that are reached from `seed` over edges within it.
Cells Component(const Cells& side, int64_t seed, int64_t height,
                int64_t width) {
  Cells reached(side.size(), 0);
  std::vector<int64_t> waiting = {seed};
  reached[seed] = 1;
  const auto visit = [&](int64_t cell) {
    if (side[cell] != 0 && reached[cell] == 0) {
      reached[cell] = 1;
      waiting.push_back(cell);
    }
  };
  while (!waiting.empty()) {
    const int64_t cell = waiting.back();
    waiting.pop_back();
    const int64_t x = cell % width;
    if (x > 0) visit(cell - 1);
    if (x + 1 < width) visit(cell + 1);
    if (cell >= width) visit(cell - width);
    if (cell + width < height * width) visit(cell + width);
  }
  return reached;
}

struct Side {
  Cells cells;
  bool swapped = false;
};

Side FindObject(absl::Span<const double> vector, int64_t height,
                int64_t width) {
  double mean = 0;
  for (const double value : vector) mean += value;
  mean /= static_cast<double>(vector.size());
  Cells above(vector.size());
  std::vector<double> strength(vector.begin(), vector.end());
  for (size_t i = 0; i < vector.size(); ++i) {
    above[i] = vector[i] > mean ? 1 : 0;
  }
  const int64_t last = height * width - 1;
  const int corners =
      above[0] + above[width - 1] + above[last - width + 1] + above[last];
  const bool swapped = corners >= kGroundCorners;
  if (swapped) {
    for (size_t i = 0; i < above.size(); ++i) {
      above[i] = 1 - above[i];
      strength[i] = mean - vector[i];  // positive somewhere: not all equal
    }
  }
  return {Component(above, StrongestNode(strength), height, width), swapped};
}

int64_t Count(const Cells& cells) {
  return std::count(cells.begin(), cells.end(), 1);
}

double Overlap(const Cells& a, const Cells& b) {
  int64_t both = 0;
  int64_t any = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    both += a[i] & b[i];
    any += a[i] | b[i];
  }
  return any == 0 ? 0 : static_cast<double>(both) / static_cast<double>(any);
}

torch::Tensor ToMask(const Cells& cells, int64_t height, int64_t width) {
  torch::Tensor mask = torch::empty({height, width}, torch::kBool);
  std::copy(cells.begin(), cells.end(), mask.data_ptr<bool>());
  return mask;
}

// The rounds over one picture.
class Rounds {
 public:
  Rounds(const torch::Tensor& keys, double threshold, const CutOptions& options)
      : height_(keys.size(1)),
        width_(keys.size(2)),
        affinity_(keys.flatten(1), threshold),
        options_(options),
        painted_(affinity_.num_cells(), 0),
        previous_(affinity_.num_cells(), 0),
        taken_(affinity_.num_cells(), 0),
        visible_(affinity_.num_cells()) {}

  // One round; a mask that adds cells goes to `masks`. Errors of
  // SecondCutVector().
  absl::Status Run(bool is_first, std::vector<torch::Tensor>* masks) {
    OVDIFF_RETURN_IF_ERROR(Cut());
    Cells mask = object_->cells;
    const auto cells = static_cast<double>(mask.size());
    if (!is_first &&
        (Overlap(mask, previous_) > kSameMask ||
         static_cast<double>(Count(mask)) <= kCrumbShare * cells)) {
      std::fill(mask.begin(), mask.end(), 0);
    }
    Cells rest(mask.size());
    for (size_t i = 0; i < mask.size(); ++i) {
      rest[i] = mask[i] & (1 - taken_[i]);
      taken_[i] |= mask[i];
    }
    if (Count(rest) > 0) {
      masks->push_back(ToMask(rest, height_, width_));
    }
    previous_ = std::move(mask);
    return absl::OkStatus();
  }

 private:
  // Paints over the round before and cuts; where that paints nothing new, the
  // cut is the one there is.
  absl::Status Cut() {
    bool changed = !object_.has_value();
    for (size_t i = 0; i < painted_.size(); ++i) {
      changed = changed || previous_[i] > painted_[i];
      painted_[i] |= previous_[i];
    }
    if (!changed) {
      return absl::OkStatus();
    }
    const auto links = [this](absl::Span<const double> x,
                              absl::Span<double> y) {
      for (size_t i = 0; i < x.size(); ++i) {
        visible_[i] = painted_[i] != 0 ? 0 : x[i];
      }
      affinity_.Multiply(visible_, y);
      for (size_t i = 0; i < y.size(); ++i) {
        y[i] = painted_[i] != 0 ? 0 : y[i];
      }
    };
    OVDIFF_ASSIGN_OR_RETURN(const CutVector cut,
                            SecondCutVector({.num_nodes = affinity_.num_cells(),
                                             .weak = kWeakAffinity,
                                             .links = links},
                                            options_));
    object_ = FindObject(cut.values, height_, width_);
    return absl::OkStatus();
  }

  const int64_t height_;
  const int64_t width_;
  const KeyAffinity affinity_;
  const CutOptions options_;
  Cells painted_;   // Masks of rounds before, dropped ones left out.
  Cells previous_;  // The last round's mask; empty if it was dropped.
  Cells taken_;
  std::optional<Side> object_;  // Of the last cut.
  std::vector<double> visible_;
};

}  // namespace

CutSide ObjectSide(absl::Span<const double> vector, int64_t grid_height,
                   int64_t grid_width) {
  TORCH_CHECK(static_cast<int64_t>(vector.size()) == grid_height * grid_width,
              "a cut of ", vector.size(), " cells is not of a grid of ",
              grid_height, " x ", grid_width);
  const Side side = FindObject(vector, grid_height, grid_width);
  return {ToMask(side.cells, grid_height, grid_width), side.swapped};
}

absl::StatusOr<torch::Tensor> MaskCut(const torch::Tensor& keys,
                                      const MaskCutOptions& options,
                                      const CutOptions& cut_options) {
  OVDIFF_RETURN_IF_ERROR(CheckInput(keys, options));
  std::vector<torch::Tensor> masks;
  Rounds rounds(keys, options.affinity_threshold, cut_options);
  for (int round = 0; round < options.max_masks; ++round) {
    const absl::Status status = rounds.Run(round == 0, &masks);
    if (absl::IsFailedPrecondition(status) || absl::IsAborted(status)) {
      break;
    }
    OVDIFF_RETURN_IF_ERROR(status);
  }
  if (masks.empty()) {
    return torch::empty({0, keys.size(1), keys.size(2)}, torch::kBool);
  }
  return torch::stack(masks);
}

}  // namespace ovdiff::engine
