#include "engine/ops/normalized_cut.h"

#include <Spectra/SymEigsSolver.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace ovdiff::engine {
namespace {

using Vector = Eigen::VectorXd;

constexpr int kKrylovSize = 40;  // Lanczos vectors kept between restarts.
// 1 - lambda below this is rounding: every node is alike.
constexpr double kNoStructure = 1e-9;
// Share of the largest value by which equal entries may differ.
constexpr double kSameStrength = 1e-6;

// S = D^-1/2 A D^-1/2 - 2 f f', f its first vector: f, whose value was 1, is
// now at the lower end, and the second vector at the upper. Spectra's operator.
class DeflatedOperator {
 public:
  using Scalar = double;

  explicit DeflatedOperator(const LinkGraph& graph)
      : graph_(graph), scratch_(graph.num_nodes), product_(graph.num_nodes) {
    scratch_.setOnes();
    const Vector degrees = Affinity();
    root_degrees_ = degrees.cwiseSqrt();
    first_ = root_degrees_.normalized();
  }

  Eigen::Index rows() const { return graph_.num_nodes; }
  Eigen::Index cols() const { return graph_.num_nodes; }

  void perform_op(const double* in, double* out) const {
    const Eigen::Map<const Vector> x(in, rows());
    scratch_ = x.cwiseQuotient(root_degrees_);
    Eigen::Map<Vector>(out, rows()) =
        Affinity().cwiseQuotient(root_degrees_) - 2 * first_.dot(x) * first_;
  }

  const Vector& root_degrees() const { return root_degrees_; }
  int products() const { return products_; }

 private:
  // A scratch_, where A = (1 - weak) M + weak 11'.
  Vector Affinity() const {
    ++products_;
    graph_.links(absl::MakeConstSpan(scratch_.data(), scratch_.size()),
                 absl::MakeSpan(product_.data(), product_.size()));
    return (1 - graph_.weak) * product_ +
           Vector::Constant(rows(), graph_.weak * scratch_.sum());
  }

  const LinkGraph& graph_;
  mutable Vector scratch_;
  mutable Vector product_;
  mutable int products_ = 0;
  Vector root_degrees_;
  Vector first_;
};

absl::Status CheckGraph(const LinkGraph& graph, const CutOptions& options) {
  if (graph.num_nodes < 0 || !(graph.weak > 0) || !(options.tolerance > 0) ||
      options.max_products < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "normalised cut of ", graph.num_nodes, " nodes, weak affinity ",
        graph.weak, ", tolerance ", options.tolerance, ", max_products ",
        options.max_products, ": all must be above 0"));
  }
  if (graph.num_nodes < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat(graph.num_nodes, " nodes cannot be cut in two"));
  }
  return absl::OkStatus();
}

// y and its sign from the unit vector z = D^1/2 y.
std::vector<double> ToCutValues(const Vector& z, const Vector& root_degrees) {
  const Vector y = z.cwiseQuotient(root_degrees);
  const Vector magnitude = y.cwiseAbs();
  const int64_t strongest =
      StrongestNode(absl::MakeConstSpan(magnitude.data(), magnitude.size()));
  const double sign = y[strongest] > 0 ? 1 : -1;
  std::vector<double> values(y.size());
  std::transform(y.begin(), y.end(), values.begin(),
                 [sign](double value) { return sign * value; });
  return values;
}

}  // namespace

absl::StatusOr<CutVector> SecondCutVector(const LinkGraph& graph,
                                          const CutOptions& options) {
  if (absl::Status status = CheckGraph(graph, options); !status.ok()) {
    return status;
  }
  DeflatedOperator op(graph);
  const int krylov =
      static_cast<int>(std::min<int64_t>(kKrylovSize, graph.num_nodes));
  Spectra::SymEigsSolver<DeflatedOperator> solver(op, 1, krylov);
  solver.init();
  // A restart costs at most the Krylov space anew.
  const int restarts = std::max(1, options.max_products / krylov);
  // Half the tolerance: the solver's own estimate is not what is tested.
  solver.compute(Spectra::SortRule::LargestAlge, restarts,
                 options.tolerance / 2);
  if (solver.info() != Spectra::CompInfo::Successful) {
    return absl::AbortedError(absl::StrCat("the cut of ", graph.num_nodes,
                                           " nodes did not settle in ",
                                           op.products(), " products"));
  }
  const double value = solver.eigenvalues()[0];
  if (value < kNoStructure) {
    return absl::FailedPreconditionError(absl::StrCat(
        "all ", graph.num_nodes, " nodes are alike: nothing to cut"));
  }
  const Vector z = solver.eigenvectors().col(0).normalized();
  Vector image(z.size());
  op.perform_op(z.data(), image.data());
  CutVector cut;
  cut.eigenvalue = 1 - value;
  cut.residual = (image - value * z).norm();
  cut.products = op.products();
  if (!(cut.residual <= options.tolerance)) {
    return absl::AbortedError(absl::StrCat("the cut of ", graph.num_nodes,
                                           " nodes has residual ", cut.residual,
                                           "; allowed is ", options.tolerance));
  }
  cut.values = ToCutValues(z, op.root_degrees());
  return cut;
}

int64_t StrongestNode(absl::Span<const double> values) {
  const double largest = *std::max_element(values.begin(), values.end());
  const double enough = largest * (1 - kSameStrength);
  return std::find_if(values.begin(), values.end(),
                      [enough](double value) { return value >= enough; }) -
         values.begin();
}

}  // namespace ovdiff::engine
