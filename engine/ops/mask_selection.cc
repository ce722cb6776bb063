#include "engine/ops/mask_selection.h"

#include <algorithm>
#include <vector>

namespace ovdiff::engine {
namespace {

struct Candidate {
  torch::Tensor mask;  // [H, W] bool, not empty
  double score = 0;    // mean attribution inside
  bool is_proposal = true;
};

void AddCandidate(const torch::Tensor& mask, const torch::Tensor& attribution,
                  bool is_proposal, std::vector<Candidate>* candidates) {
  const auto pixels = mask.sum().item<int64_t>();
  if (pixels == 0) {
    return;
  }
  const auto sum =
      attribution.masked_select(mask).sum(torch::kFloat64).item<double>();
  candidates->push_back({mask, sum / static_cast<double>(pixels), is_proposal});
}

// All that have pixels, highest score first; the complement after proposals of
// its own score.
std::vector<Candidate> Rank(const torch::Tensor& proposals,
                            const torch::Tensor& attribution) {
  std::vector<Candidate> candidates;
  for (int64_t i = 0; i < proposals.size(0); ++i) {
    AddCandidate(proposals[i], attribution, /*is_proposal=*/true, &candidates);
  }
  AddCandidate(proposals.any(0).logical_not(), attribution,
               /*is_proposal=*/false, &candidates);
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return candidates;
}

// The pixels of the lowest candidate that has some, `foreground` aside; empty
// if there is none.
torch::Tensor LowestVisible(const std::vector<Candidate>& ranked,
                            const Candidate& foreground) {
  torch::Tensor covered = foreground.mask.clone();
  torch::Tensor lowest = torch::zeros_like(covered);
  for (const Candidate& candidate : ranked) {
    if (&candidate == &foreground) {
      continue;
    }
    const torch::Tensor own = candidate.mask.logical_and(covered.logical_not());
    if (own.any().item<bool>()) {
      lowest = own;
    }
    covered = covered.logical_or(candidate.mask);
  }
  return lowest;
}

// `object` as far as the attribution agrees with it.
torch::Tensor CheckedByAttribution(const torch::Tensor& object,
                                   const torch::Tensor& attribution,
                                   const torch::Tensor& dim,
                                   double bright_above) {
  const torch::Tensor bright = attribution > bright_above;
  const auto covered = object.logical_and(bright).sum().item<int64_t>();
  return 2 * covered >= bright.sum().item<int64_t>()
             ? object.logical_and(dim.logical_not())
             : bright;
}

}  // namespace

SelectedMasks SelectMasks(const torch::Tensor& proposals,
                          const torch::Tensor& attribution,
                          const MaskSelectionOptions& options) {
  TORCH_CHECK(proposals.dim() == 3 && proposals.scalar_type() == torch::kBool &&
                  proposals.is_cpu() && attribution.dim() == 2 &&
                  attribution.scalar_type() == torch::kFloat32 &&
                  attribution.is_cpu() &&
                  proposals.sizes().slice(1) == attribution.sizes(),
              "proposals must be [M, H, W] bool and attribution [H, W] float32 "
              "on the CPU, got ",
              proposals.sizes(), " and ", attribution.sizes());
  const torch::Tensor dim = attribution < options.background_below;
  const std::vector<Candidate> ranked = Rank(proposals, attribution);
  const auto foreground =
      std::find_if(ranked.begin(), ranked.end(),
                   [](const Candidate& c) { return c.is_proposal; });
  if (foreground == ranked.end() || !(foreground->score > 0)) {
    const torch::Tensor bright = attribution > options.foreground_above;
    return {.foreground = bright,
            .background = dim.logical_and(bright.logical_not()),
            .used_thresholds = true};
  }
  const torch::Tensor background =
      ErodeByCross(LowestVisible(ranked, *foreground).logical_and(dim));
  const torch::Tensor object =
      options.bright_above.has_value()
          ? CheckedByAttribution(foreground->mask, attribution, dim,
                                 *options.bright_above)
          : foreground->mask.clone();
  return {.foreground = object,
          .background = background.logical_and(object.logical_not()),
          .used_thresholds = false};
}

torch::Tensor ErodeByCross(const torch::Tensor& mask) {
  torch::Tensor result = mask.clone();
  for (const int64_t axis : {0, 1}) {
    const int64_t size = mask.size(axis);
    if (size < 2) {
      continue;
    }
    const torch::Tensor before = mask.narrow(axis, 0, size - 1);
    const torch::Tensor after = mask.narrow(axis, 1, size - 1);
    result.narrow(axis, 1, size - 1).logical_and_(before);
    result.narrow(axis, 0, size - 1).logical_and_(after);
  }
  return result;
}

}  // namespace ovdiff::engine
