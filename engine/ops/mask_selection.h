// Which of a picture's proposed masks is the object, and which surely is not
// (OVDiff, ECCV 2024, section 3.1, equation 1; method.md section 3).
#ifndef OVDIFF_ENGINE_OPS_MASK_SELECTION_H_
#define OVDIFF_ENGINE_OPS_MASK_SELECTION_H_

#include <optional>

#include "torch/types.h"

namespace ovdiff::engine {

struct MaskSelectionOptions {
  // Background is only where the attribution is below this, 0…1.
  double background_below = 0.2;
  // Without a proposal: foreground is where it is above this, 0…1.
  double foreground_above = 0.5;
  // If set, the chosen proposal is checked by the attribution. "Bright" is
  // where that is above this. A proposal that covers at least half of what is
  // bright loses what is below `background_below`; another is not believed, and
  // what is bright is foreground. Beyond the paper.
  std::optional<double> bright_above;
};

struct SelectedMasks {
  // [H, W] bool on the CPU; disjoint; either may be empty.
  torch::Tensor foreground;
  torch::Tensor background;
  bool used_thresholds = false;  // No proposal could be chosen by attribution.
};

// Foreground and background of one picture.
//
// A mask's score is the mean attribution inside it. Proposals are ranked by
// score, highest first, the earlier one at equal scores. The complement of
// their union is one candidate more, ranked with them. A pixel belongs to the
// highest candidate that covers it. Foreground is the highest proposal, which
// is never the complement. Background is the lowest candidate with a pixel of
// its own that is not the foreground; of it what is below
// options.background_below, eroded once by the 3x3 cross (outside of the
// picture counts as inside). With options.bright_above the foreground is less
// than the proposal, or another; the background is not more for it.
//
// Where the paper and its program leave a case open (method.md 3, 14.5, 14.6):
//   no proposal, or none with attribution above 0 (a flat map)
//       foreground is attribution > foreground_above, background is
//       attribution < background_below, not eroded
//   a proposal without a pixel
//       is none
//   proposals that cover the picture
//       there is no complement; the program divides 0 by 0 here, and the empty
//       mask wins
//   the complement scores highest
//       it may be background, not foreground
//   one candidate with pixels alone
//       there is no background; the program makes the object's own dim pixels
//       background
//   nothing of the background is dim enough, or left by the erosion
//       the background is empty: the picture gives foreground only
//
// `proposals`: [M, H, W] bool, M >= 0; they may overlap. `attribution`: [H, W]
// float32, 0…1, stretched. Both on the CPU. Throws c10::Error for other shapes
// and types.
SelectedMasks SelectMasks(const torch::Tensor& proposals,
                          const torch::Tensor& attribution,
                          const MaskSelectionOptions& options);

// `mask` [H, W] bool without the pixels that have a neighbour over an edge
// outside of it; the picture's border takes nothing away.
torch::Tensor ErodeByCross(const torch::Tensor& mask);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_MASK_SELECTION_H_
