#include "engine/ops/kmeans.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/base/status_macros.h"
#include "engine/ops/kmeans_random.h"

namespace ovdiff::engine {
namespace {

// Rows looked at together: few enough that a CPU's cache keeps them between the
// distances and the sums, enough for a GPU to be busy.
constexpr int64_t kCpuChunkBytes = int64_t{4} << 20;
constexpr int64_t kGpuChunkBytes = int64_t{64} << 20;
// Rows that give the origin of the coordinates.
constexpr int64_t kOriginRows = 256;
// Squared distances this small, relative to the lengths they are differences
// of, are mostly rounding and are computed again.
constexpr double kCancellation = 1e-4;

enum class Phase { kStatistics, kSeeding, kLloyd, kFinal, kDone };

absl::Status CheckArguments(const torch::Tensor& rows,
                            const KMeansOptions& options) {
  if (!rows.defined() || rows.dim() != 2 || rows.size(0) < 1 ||
      rows.size(1) < 1 || rows.scalar_type() != torch::kFloat32 ||
      rows.stride(1) != 1) {
    return absl::InvalidArgumentError(
        "K-means needs a [N, D] float32 tensor with N, D >= 1 and contiguous "
        "rows");
  }
  if (options.num_clusters < 1 || options.max_iterations < 1 ||
      !(options.tolerance >= 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "K-means with ", options.num_clusters, " clusters, ",
        options.max_iterations, " iterations and tolerance ", options.tolerance,
        ": clusters and iterations must be at least 1, tolerance not "
        "negative"));
  }
  const torch::Tensor& initial = options.initial_centres;
  if (initial.defined() && (initial.dim() != 2 || initial.size(0) < 1 ||
                            initial.size(1) != rows.size(1) ||
                            initial.scalar_type() != torch::kFloat32 ||
                            !initial.isfinite().all().item<bool>())) {
    return absl::InvalidArgumentError(
        absl::StrCat("initial centres of K-means must be a finite [K, ",
                     rows.size(1), "] float32 tensor with K >= 1"));
  }
  return absl::OkStatus();
}

}  // namespace

// Distances are taken in coordinates around an origin amid the data,
//   |x - c|^2 = |x - o|^2 - 2 x.c' + 2 o.c' + |c'|^2   with c' = c - o,
// so that a mean that is large beside the spread does not drown them, and yet x
// is never copied.
struct KMeansSolver::Impl {
  Impl(const torch::Tensor& rows_in, const KMeansOptions& options_in)
      : rows(rows_in),
        options(options_in),
        n(rows.size(0)),
        d(rows.size(1)),
        chunk_rows(std::max<int64_t>(
            1, (rows.is_cpu() ? kCpuChunkBytes : kGpuChunkBytes) / (4 * d))),
        random(options.seed) {}

  // f(first row, [r, D]) over all rows.
  template <typename F>
  void ForEachChunk(F f) const {
    for (int64_t start = 0; start < n; start += chunk_rows) {
      f(start, rows.narrow(0, start, std::min(chunk_rows, n - start)));
    }
  }

  absl::Status Statistics();
  void SeedOne();
  void Lloyd();
  void Final();

  std::vector<int64_t> DrawCandidates();
  torch::Tensor DistancesToCandidates(const torch::Tensor& candidates) const;
  void AddSeed(int64_t row, const torch::Tensor& distances);
  void SetCentres(const torch::Tensor& value);
  void Assign(torch::Tensor& sums, torch::Tensor& counts);
  void RelocateEmpty(torch::Tensor& sums, torch::Tensor& counts);
  void DropEmpty();

  const torch::Tensor rows;  // [N, D]
  const KMeansOptions options;
  const int64_t n;
  const int64_t d;
  const int64_t chunk_rows;
  KMeansRandom random;
  Phase phase = Phase::kStatistics;

  torch::Tensor origin;    // [D] float32
  torch::Tensor spread;    // [N] float32: |x - o|^2
  torch::Tensor lengths;   // [N] float32: |x|
  double shift_limit = 0;  // tolerance * mean variance of a feature
  std::vector<int64_t> seeds;
  torch::Tensor closest;    // [N] squared distance to the nearest seed
  torch::Tensor centres;    // [K, D] float64
  torch::Tensor shifted;    // [D, K] float32: c'
  torch::Tensor offsets;    // [K] float32: 2 o.c' + |c'|^2
  torch::Tensor labels;     // [N] int64
  torch::Tensor distances;  // [N] squared distance to the label's centre
  bool labels_final = false;
  KMeansResult result;
};

absl::Status KMeansSolver::Impl::Statistics() {
  const int64_t step = std::max<int64_t>(1, n / kOriginRows);
  // Bad rows are found below, not here, where they would make all rows bad.
  origin = at::nan_to_num(rows.slice(0, 0, n, step).mean(0), 0, 0, 0);
  spread = torch::empty({n}, rows.options());
  lengths = torch::empty({n}, rows.options());
  torch::Tensor sum = torch::zeros({d}, rows.options().dtype(torch::kFloat64));
  ForEachChunk([&](int64_t start, const torch::Tensor& chunk) {
    const torch::Tensor around = chunk - origin;
    sum.add_(around.sum(0, /*keepdim=*/false, torch::kFloat64));
    spread.narrow(0, start, chunk.size(0)).copy_(around.square().sum(1));
    lengths.narrow(0, start, chunk.size(0))
        .copy_(at::linalg_vector_norm(chunk, 2, {1}));
  });
  const torch::Tensor bad = at::nonzero(
      spread.isfinite().logical_and_(lengths.isfinite()).logical_not_());
  if (bad.size(0) > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "K-means: ", bad.size(0), " of ", n,
        " rows are not finite or too large to square; the first is row ",
        bad[0][0].item<int64_t>()));
  }
  const double variance =
      (spread.sum(torch::kFloat64) / n - (sum / n).square().sum())
          .item<double>() /
      d;
  shift_limit = options.tolerance * std::max(variance, 0.0);
  if (options.initial_centres.defined()) {
    SetCentres(options.initial_centres.to(rows.device(), torch::kFloat64));
    phase = Phase::kLloyd;
  } else {
    phase = Phase::kSeeding;
  }
  return absl::OkStatus();
}

// Greedy k-means++ (Arthur and Vassilvitskii 2007, section 5): of a few rows
// drawn with probability proportional to their squared distance to the nearest
// seed, the one that leaves the smallest sum of such distances. Empty if all
// rows are seeds or equal to one.
std::vector<int64_t> KMeansSolver::Impl::DrawCandidates() {
  if (seeds.empty()) {
    return {random.Below(n)};
  }
  const torch::Tensor host = closest.cpu();
  const int trials = 2 + static_cast<int>(std::log(options.num_clusters));
  return random.ByWeight(
      absl::MakeConstSpan(host.const_data_ptr<float>(), static_cast<size_t>(n)),
      trials);
}

// [N, L] float32 squared distances to rows `candidates` [L]; exactly 0 for
// equal rows.
torch::Tensor KMeansSolver::Impl::DistancesToCandidates(
    const torch::Tensor& candidates) const {
  const torch::Tensor chosen = rows.index_select(0, candidates);  // [L, D]
  const torch::Tensor around = chosen - origin;
  const torch::Tensor square = around.square().sum(1);
  const torch::Tensor offset = at::mv(around, origin) * 2 + square;  // [L]
  const torch::Tensor size = square.sqrt();
  torch::Tensor all = torch::empty({n, chosen.size(0)}, rows.options());
  ForEachChunk([&](int64_t start, const torch::Tensor& chunk) {
    const int64_t r = chunk.size(0);
    const torch::Tensor own = spread.narrow(0, start, r).unsqueeze(1);
    torch::Tensor part = all.narrow(0, start, r);
    part.copy_(at::mm(chunk, around.t()).mul_(-2).add_(offset).add_(own));
    const torch::Tensor unsure =
        (lengths.narrow(0, start, r).unsqueeze(1) * size + own + square)
            .mul_(kCancellation);
    const torch::Tensor pairs = at::nonzero(part <= unsure);  // [p, 2]
    if (pairs.size(0) > 0) {
      const torch::Tensor row = pairs.select(1, 0);
      const torch::Tensor column = pairs.select(1, 1);
      const torch::Tensor exact = chunk.index_select(0, row)
                                      .sub_(chosen.index_select(0, column))
                                      .square_()
                                      .sum(1);
      part.index_put_({row, column}, exact);
    }
  });
  return all;
}

void KMeansSolver::Impl::SeedOne() {
  const std::vector<int64_t> drawn = DrawCandidates();
  if (!drawn.empty()) {
    const torch::Tensor candidates =
        torch::tensor(drawn, torch::kInt64).to(rows.device());
    torch::Tensor all = DistancesToCandidates(candidates);
    if (closest.defined()) {
      all = at::minimum(all, closest.unsqueeze(1));
    }
    const int64_t best =
        all.sum(0, /*keepdim=*/false, torch::kFloat64).argmin().item<int64_t>();
    closest = all.select(1, best).contiguous();
    seeds.push_back(drawn[best]);
  }
  if (drawn.empty() || static_cast<int>(seeds.size()) == options.num_clusters) {
    SetCentres(rows.index_select(
                       0, torch::tensor(seeds, torch::kInt64).to(rows.device()))
                   .to(torch::kFloat64));
    phase = Phase::kLloyd;
  }
}

void KMeansSolver::Impl::SetCentres(const torch::Tensor& value) {
  centres = value;
  const torch::Tensor from = origin.to(torch::kFloat64);
  const torch::Tensor around = centres - from;  // [K, D]
  offsets =
      (at::mv(around, from) * 2 + around.square().sum(1)).to(torch::kFloat32);
  shifted = around.to(torch::kFloat32).t().contiguous();
}

// Nearest centre of each row into labels and distances, and each label's sum of
// rows [K, D] and count [K], float64.
void KMeansSolver::Impl::Assign(torch::Tensor& sums, torch::Tensor& counts) {
  labels = torch::empty({n}, rows.options().dtype(torch::kInt64));
  distances = torch::empty({n}, rows.options());
  sums = torch::zeros_like(centres);
  ForEachChunk([&](int64_t start, const torch::Tensor& chunk) {
    const int64_t r = chunk.size(0);
    const auto [low, index] =
        at::mm(chunk, shifted).mul_(-2).add_(offsets).min(1);  // [r, K]
    labels.narrow(0, start, r).copy_(index);
    distances.narrow(0, start, r)
        .copy_(low + spread.narrow(0, start, r))
        .clamp_min_(0);
    // A product, not index_add_: its order of adding is fixed on a GPU too.
    torch::Tensor member = torch::zeros({r, centres.size(0)}, rows.options());
    member.scatter_(1, index.unsqueeze(1), 1.0);
    sums.add_(at::mm(member.t(), chunk));
  });
  counts = at::bincount(labels, {}, centres.size(0)).to(torch::kFloat64);
}

// scikit-learn's rule: an empty cluster takes over a row that is farthest from
// its centre, the farthest first.
void KMeansSolver::Impl::RelocateEmpty(torch::Tensor& sums,
                                       torch::Tensor& counts) {
  const torch::Tensor empty = at::nonzero(counts == 0).flatten().cpu();
  const int64_t wanted = std::min(empty.size(0), n);
  if (wanted == 0 || distances.max().item<float>() == 0) {
    return;
  }
  const torch::Tensor far = std::get<1>(distances.topk(wanted)).cpu();
  for (int64_t i = 0; i < wanted; ++i) {
    const int64_t row = far[i].item<int64_t>();
    const int64_t from = labels[row].item<int64_t>();
    const int64_t to = empty[i].item<int64_t>();
    const torch::Tensor value = rows[row].to(torch::kFloat64);
    sums[from].sub_(value);
    sums[to].copy_(value);
    counts[from].sub_(1);
    counts[to].fill_(1);
  }
}

void KMeansSolver::Impl::Lloyd() {
  const torch::Tensor old_labels = labels;
  torch::Tensor sums;
  torch::Tensor counts;
  Assign(sums, counts);
  RelocateEmpty(sums, counts);
  // A centre that stays empty stays where it is.
  const torch::Tensor moved =
      at::where((counts > 0).unsqueeze(1),
                sums / counts.clamp_min(1).unsqueeze(1), centres);
  const double shift = (moved - centres).square().sum().item<double>();
  SetCentres(moved);
  ++result.iterations;
  labels_final = old_labels.defined() && at::equal(labels, old_labels);
  if (labels_final || shift <= shift_limit ||
      result.iterations == options.max_iterations) {
    phase = Phase::kFinal;
  }
}

void KMeansSolver::Impl::Final() {
  const torch::Tensor final_centres = centres.to(torch::kFloat32);
  ForEachChunk([&](int64_t start, const torch::Tensor& chunk) {
    torch::Tensor own = labels.narrow(0, start, chunk.size(0));
    if (!labels_final) {
      own.copy_(at::mm(chunk, shifted).mul_(-2).add_(offsets).argmin(1));
    }
    distances.narrow(0, start, chunk.size(0))
        .copy_(final_centres.index_select(0, own).sub_(chunk).square_().sum(1));
  });
  result.inertia = distances.sum(torch::kFloat64).item<double>();
  result.centres = final_centres;
  result.assignment = labels;
  DropEmpty();
  std::vector<torch::Tensor> nearest;
  const torch::Tensor infinity = torch::full(
      {}, std::numeric_limits<float>::infinity(), distances.options());
  for (int64_t k = 0; k < result.centres.size(0); ++k) {
    nearest.push_back(
        at::where(result.assignment == k, distances, infinity).argmin());
  }
  result.nearest_row = at::stack(nearest);
  phase = Phase::kDone;
}

void KMeansSolver::Impl::DropEmpty() {
  const int64_t k = result.centres.size(0);
  const torch::Tensor used = at::bincount(labels, {}, k) > 0;
  const torch::Tensor kept = at::nonzero(used).flatten();
  if (kept.size(0) < k) {
    result.centres = result.centres.index_select(0, kept);
    result.assignment = (used.cumsum(0) - 1).index_select(0, result.assignment);
  }
}

absl::StatusOr<std::unique_ptr<KMeansSolver>> KMeansSolver::Create(
    const torch::Tensor& rows, const KMeansOptions& options) {
  OVDIFF_RETURN_IF_ERROR(CheckArguments(rows, options));
  return std::unique_ptr<KMeansSolver>(
      new KMeansSolver(std::make_unique<Impl>(rows.detach(), options)));
}

KMeansSolver::KMeansSolver(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

KMeansSolver::~KMeansSolver() = default;

absl::Status KMeansSolver::Step() {
  const torch::NoGradGuard no_grad;
  switch (impl_->phase) {
    case Phase::kStatistics:
      return impl_->Statistics();
    case Phase::kSeeding:
      impl_->SeedOne();
      break;
    case Phase::kLloyd:
      impl_->Lloyd();
      break;
    case Phase::kFinal:
      impl_->Final();
      break;
    case Phase::kDone:
      TORCH_CHECK(false, "KMeansSolver::Step() after the last step");
  }
  return absl::OkStatus();
}

bool KMeansSolver::done() const { return impl_->phase == Phase::kDone; }

KMeansResult KMeansSolver::TakeResult() {
  TORCH_CHECK(done(), "KMeansSolver::TakeResult() before the last step");
  return std::move(impl_->result);
}

absl::StatusOr<KMeansResult> KMeans(const torch::Tensor& rows,
                                    const KMeansOptions& options) {
  OVDIFF_ASSIGN_OR_RETURN(std::unique_ptr<KMeansSolver> solver,
                          KMeansSolver::Create(rows, options));
  while (!solver->done()) {
    OVDIFF_RETURN_IF_ERROR(solver->Step());
  }
  return solver->TakeResult();
}

}  // namespace ovdiff::engine
