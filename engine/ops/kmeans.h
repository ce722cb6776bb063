// K-means for part prototypes: Lloyd's iterations after greedy k-means++, with
// scikit-learn's rules (method.md section 5: Euclidean, raw features).
#ifndef OVDIFF_ENGINE_OPS_KMEANS_H_
#define OVDIFF_ENGINE_OPS_KMEANS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "torch/types.h"

namespace ovdiff::engine {

struct KMeansOptions {
  int num_clusters = 32;     // K >= 1
  int max_iterations = 300;  // Lloyd iterations, >= 1
  // Stop when the centres' summed squared shift is at most this times the mean
  // variance of a feature. >= 0. scikit-learn's default.
  double tolerance = 1e-4;
  // Of k-means++. Draws are those of scikit-learn 1.2 with random_state = seed
  // (numpy's RandomState: MT19937, on the host), so that its centres come out;
  // both halves count of a seed beyond 32 bits.
  uint64_t seed = 0;
  // Defined: [K, D] float32, used instead of k-means++; num_clusters is
  // ignored.
  torch::Tensor initial_centres = {};
};

struct KMeansResult {
  // [K', D] float32. K' = min(K, number of distinct rows); no centre is empty.
  torch::Tensor centres;
  torch::Tensor assignment;   // [N] int64: the nearest centre of each row
  torch::Tensor nearest_row;  // [K'] int64: the row nearest to each centre
  double inertia = 0;  // Sum of squared distances to the assigned centre.
  int iterations = 0;  // Lloyd iterations run.
};

// K-means in steps of one pass over the rows each, so that the device can do
// something else in between:
//
//   OVDIFF_ASSIGN_OR_RETURN(auto solver, KMeansSolver::Create(rows, options));
//   while (!solver->done()) {
//     OVDIFF_RETURN_IF_ERROR(scheduler.RunBulk(
//         [&] { return solver->Step(); }, control));
//   }
//   KMeansResult result = solver->TakeResult();
//
// Memory beyond the rows is a bounded chunk, [K, D] a few times and [N] a few
// times; the rows are never copied. Deterministic for rows, options and device;
// the draws do not depend on the number of threads, sums only as far as the
// BLAS at hand does. Thread-compatible.
class KMeansSolver {
 public:
  // `rows`: [N, D] float32, N >= 1, D >= 1, each row contiguous, any device.
  // Not to be changed until the result is taken. Fails with kInvalidArgument
  // for another shape or dtype and for options out of range.
  static absl::StatusOr<std::unique_ptr<KMeansSolver>> Create(
      const torch::Tensor& rows, const KMeansOptions& options);
  ~KMeansSolver();
  KMeansSolver(const KMeansSolver&) = delete;
  KMeansSolver& operator=(const KMeansSolver&) = delete;

  // One pass: the statistics, one k-means++ centre, one Lloyd iteration or the
  // final assignment. kInvalidArgument if a row is not finite (found by the
  // first step; the message names the row). May throw what torch throws.
  // REQUIRES: !done()
  absl::Status Step();
  bool done() const;
  // REQUIRES: done(); call once.
  KMeansResult TakeResult();

 private:
  struct Impl;
  explicit KMeansSolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// All steps at once.
absl::StatusOr<KMeansResult> KMeans(const torch::Tensor& rows,
                                    const KMeansOptions& options);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_KMEANS_H_
