#include "engine/ops/multi_otsu.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

constexpr int kMinBins = 3;
constexpr int kMaxBins = 4096;

struct Histogram {
  std::vector<float> edges;     // [bins + 1]
  std::vector<int64_t> counts;  // [bins]
};

absl::Status CheckValues(absl::Span<const float> values, int num_bins) {
  if (num_bins < kMinBins || num_bins > kMaxBins) {
    return absl::InvalidArgumentError(
        absl::StrCat("the number of histogram bins is ", num_bins,
                     "; allowed: ", kMinBins, " to ", kMaxBins));
  }
  if (values.empty()) {
    return absl::InvalidArgumentError("no values to find thresholds of");
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("value ", i, " of ", values.size(), " is not finite"));
    }
  }
  return absl::OkStatus();
}

// numpy.histogram's rule for float32: equal bins by one division, then a check
// against the rounded edges; the last bin holds its upper edge too.
Histogram MakeHistogram(absl::Span<const float> values, int num_bins) {
  const auto [low_it, high_it] =
      std::minmax_element(values.begin(), values.end());
  const float low = *low_it;
  const float high = *high_it;
  Histogram histogram;
  histogram.counts.assign(num_bins, 0);
  // Edges as numpy.linspace has them: steps in double, rounded at the end.
  const double step = (static_cast<double>(high) - low) / num_bins;
  for (int i = 0; i <= num_bins; ++i) {
    histogram.edges.push_back(
        i == num_bins ? high : static_cast<float>(i * step + low));
  }
  const float width = high - low;
  for (const float value : values) {
    auto bin =
        static_cast<int>((value - low) / width * static_cast<float>(num_bins));
    bin = std::min(bin, num_bins - 1);
    if (value < histogram.edges[bin]) {
      --bin;
    } else if (bin != num_bins - 1 && value >= histogram.edges[bin + 1]) {
      ++bin;
    }
    ++histogram.counts[bin];
  }
  return histogram;
}

// Cumulated weight and first moment of the bins. float32 throughout, as
// scikit-image's table: near-ties between splits must fall the same way.
struct Moments {
  std::vector<float> zeroth;
  std::vector<float> first;

  explicit Moments(const std::vector<float>& weights) {
    zeroth.push_back(weights[0]);
    first.push_back(weights[0]);
    for (size_t i = 1; i < weights.size(); ++i) {
      zeroth.push_back(zeroth.back() + weights[i]);
      first.push_back(first.back() + static_cast<float>(i) * weights[i]);
    }
  }

  // What bins from…to add to the between-class variance. scikit-image's table
  // leaves the entry of bin 0 alone at 0; it decides where the first bin holds
  // much, so it is repeated here.
  float Variance(size_t from, size_t to) const {
    if (to == 0) {
      return 0;
    }
    const float weight = zeroth[to] - (from == 0 ? 0.0f : zeroth[from - 1]);
    if (!(weight > 0)) {
      return 0;
    }
    const float moment = first[to] - (from == 0 ? 0.0f : first[from - 1]);
    return moment * moment / weight;
  }
};

// The last bins of the lower two classes: the split with the largest
// between-class variance, the first one of equals (Liao et al. 2001).
std::pair<size_t, size_t> BestSplit(const std::vector<float>& weights) {
  const Moments moments(weights);
  const size_t bins = weights.size();
  std::pair<size_t, size_t> best{0, 1};
  float best_variance = 0;
  for (size_t i = 0; i + 2 < bins; ++i) {
    const float lowest = moments.Variance(0, i);
    for (size_t j = i + 1; j + 1 < bins; ++j) {
      const float variance = lowest + moments.Variance(i + 1, j) +
                             moments.Variance(j + 1, bins - 1);
      if (variance > best_variance) {
        best_variance = variance;
        best = {i, j};
      }
    }
  }
  return best;
}

}  // namespace

absl::StatusOr<OtsuThresholds> MultiOtsuThresholds(
    absl::Span<const float> values, int num_bins) {
  OVDIFF_RETURN_IF_ERROR(CheckValues(values, num_bins));
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const Histogram histogram =
      *low == *high ? Histogram{} : MakeHistogram(values, num_bins);
  std::vector<size_t> used;
  std::vector<float> weights;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    weights.push_back(static_cast<float>(
        static_cast<double>(histogram.counts[i]) / values.size()));
    if (histogram.counts[i] > 0) {
      used.push_back(i);
    }
  }
  if (used.size() < 3) {
    return absl::FailedPreconditionError(absl::StrCat(
        "three classes need values in at least 3 histogram bins; found ",
        std::max<size_t>(used.size(), 1), " of ", num_bins));
  }
  const auto [i, j] =
      used.size() == 3 ? std::pair(used[0], used[1]) : BestSplit(weights);
  const auto centre = [&](size_t bin) {
    return (histogram.edges[bin] + histogram.edges[bin + 1]) / 2;
  };
  return OtsuThresholds{.lower = centre(i), .upper = centre(j)};
}

}  // namespace ovdiff::engine
