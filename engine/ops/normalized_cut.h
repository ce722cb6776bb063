// The vector that cuts a graph in two with the least normalised cut: the second
// solution of (D - A) y = lambda D y (Shi & Malik, PAMI 2000; TokenCut, CVPR
// 2022, section 3; networks.md 6.2). No torch.
#ifndef OVDIFF_ENGINE_OPS_NORMALIZED_CUT_H_
#define OVDIFF_ENGINE_OPS_NORMALIZED_CUT_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace ovdiff::engine {

// A graph of n nodes whose affinities A are 1 where `links` has a 1 and `weak`
// elsewhere, the diagonal included. `links` is symmetric, of zeros and ones,
// and known by what it does to a vector: links(x, y) writes y = M x; both [n].
struct LinkGraph {
  int64_t num_nodes = 0;
  double weak = 1e-5;  // above 0: every node has a degree
  absl::FunctionRef<void(absl::Span<const double>, absl::Span<double>)> links;
};

struct CutOptions {
  // Of the residual test: the vector z = D^1/2 y of length 1 must satisfy
  // |D^-1/2 A D^-1/2 z - (1 - lambda) z| <= tolerance.
  double tolerance = 1e-8;
  int max_products = 3000;  // calls of `links`
};

struct CutVector {
  // y, [n], scaled so that y'Dy = 1. Its entry of largest magnitude is positive
  // (StrongestNode() of |y|), which fixes the sign.
  std::vector<double> values;
  double eigenvalue = 0;  // lambda, 0 (two parts without a link) to 1
  double residual = 0;    // as measured, in the norm of the test
  int products = 0;       // calls of `links`
};

// By implicitly restarted Lanczos on D^-1/2 A D^-1/2 with the known first
// vector taken out, in float64; the starting vector is fixed, so equal graphs
// have equal results. Fails with
//   kInvalidArgument     num_nodes < 0, weak or an option not above 0
//   kFailedPrecondition  there is no cut: fewer than two nodes, or all nodes
//                        alike (lambda is 1 but for rounding)
//   kAborted             the residual test was not passed in max_products
// May throw what the linear algebra throws.
absl::StatusOr<CutVector> SecondCutVector(const LinkGraph& graph,
                                          const CutOptions& options);

// Index of the largest value. Nodes of equal links have equal entries but for
// rounding, so values within a millionth of the largest count as equal: the
// first of them. REQUIRES: not empty, the largest above 0.
int64_t StrongestNode(absl::Span<const double> values);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_NORMALIZED_CUT_H_
