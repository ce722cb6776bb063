#include "engine/ops/key_affinity.h"

#include <algorithm>
#include <cstring>

namespace ovdiff::engine {
namespace {

constexpr int64_t kBlockRows = 256;  // of cosines held at once
constexpr double kMinNorm = 1e-12;   // torch's and the reference's floor

static_assert(kMaxAffinityCells - 1 <= UINT16_MAX);

// Above the diagonal, and on it, alone: a block's product may differ in the
// last bit from its mirror image, and the matrix must be symmetric.
torch::Tensor UpperLinks(const torch::Tensor& unit, double threshold,
                         int64_t row, int64_t rows) {
  const int64_t columns = unit.size(1) - row;
  return unit.narrow(1, row, rows)
      .t()
      .matmul(unit.narrow(1, row, columns))
      .gt(threshold)
      .triu();  // [rows, columns]; column j is cell row + j
}

}  // namespace

KeyAffinity::KeyAffinity(const torch::Tensor& keys, double threshold,
                         Storage storage)
    : num_cells_(keys.size(1)) {
  TORCH_CHECK(keys.dim() == 2 && keys.scalar_type() == torch::kFloat32 &&
                  num_cells_ <= kMaxAffinityCells,
              "keys must be float32 [C, n] with n at most ", kMaxAffinityCells,
              ", got ", keys.sizes());
  const torch::Tensor unit =
      keys / keys.norm(2, /*dim=*/{0}, /*keepdim=*/true).clamp_min(kMinNorm);
  if (storage == Storage::kDense) {
    const torch::Tensor upper = UpperLinks(unit, threshold, 0, num_cells_);
    dense_ = upper.logical_or(upper.t()).to(torch::kFloat64);
    return;
  }
  std::vector<std::vector<uint16_t>> lists(num_cells_);
  for (int64_t row = 0; row < num_cells_; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, num_cells_ - row);
    const torch::Tensor block =
        UpperLinks(unit, threshold, row, rows).to(torch::kCPU).contiguous();
    const bool* linked = block.data_ptr<bool>();
    for (int64_t i = row; i < row + rows; ++i, linked += block.size(1)) {
      for (int64_t j = i; j < num_cells_; ++j) {
        if (!linked[j - row]) continue;
        lists[i].push_back(static_cast<uint16_t>(j));
        if (i != j) lists[j].push_back(static_cast<uint16_t>(i));
      }
    }
  }
  first_.push_back(0);
  for (std::vector<uint16_t>& list : lists) {
    neighbours_.insert(neighbours_.end(), list.begin(), list.end());
    first_.push_back(static_cast<int64_t>(neighbours_.size()));
    std::vector<uint16_t>().swap(list);
  }
}

void KeyAffinity::Multiply(absl::Span<const double> x,
                           absl::Span<double> y) const {
  if (dense_.defined()) {
    torch::Tensor in = torch::empty({num_cells_}, torch::kFloat64);
    std::copy(x.begin(), x.end(), in.data_ptr<double>());
    const torch::Tensor out =
        dense_.mv(in.to(dense_.device())).to(torch::kCPU).contiguous();
    const double* data = out.data_ptr<double>();
    std::copy(data, data + num_cells_, y.begin());
    return;
  }
  for (int64_t i = 0; i < num_cells_; ++i) {
    // Four sums, so that additions need not wait for each other.
    double sums[4] = {0, 0, 0, 0};
    const uint16_t* cell = neighbours_.data() + first_[i];
    const uint16_t* const end = neighbours_.data() + first_[i + 1];
    for (; end - cell >= 4; cell += 4) {
      sums[0] += x[cell[0]];
      sums[1] += x[cell[1]];
      sums[2] += x[cell[2]];
      sums[3] += x[cell[3]];
    }
    for (; cell != end; ++cell) {
      sums[0] += x[*cell];
    }
    y[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
}

}  // namespace ovdiff::engine
