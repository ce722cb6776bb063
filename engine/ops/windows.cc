#include "engine/ops/windows.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

// Number of windows of `size` along `side`, and where the i-th starts.
int64_t CountAlong(int side, int size, int stride) {
  return side <= size
             ? 1
             : (static_cast<int64_t>(side) - size + stride - 1) / stride + 1;
}

int StartAlong(int side, int size, int stride, int64_t i) {
  return static_cast<int>(
      std::min<int64_t>(i * stride, std::max(side - size, 0)));
}

absl::Status CheckWindows(ImageSize picture, absl::Span<const int> sizes,
                          int stride, bool whole_picture, int64_t max_windows) {
  if (picture.width < 1 || picture.height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("no windows in a picture of ", picture.width, "x",
                     picture.height, " pixels"));
  }
  if (sizes.empty() && !whole_picture) {
    return absl::InvalidArgumentError(
        "no windows: give at least one size, or the whole picture");
  }
  if (!sizes.empty()) {
    const int smallest = *std::min_element(sizes.begin(), sizes.end());
    if (smallest < 1 || stride < 1 || stride > smallest) {
      return absl::InvalidArgumentError(absl::StrCat(
          "window sizes ", absl::StrJoin(sizes, ", "), " with stride ", stride,
          ": sizes must be at least 1 and the stride from 1 to the smallest "
          "size"));
    }
  }
  int64_t count = whole_picture ? 1 : 0;
  for (const int size : sizes) {
    count += CountAlong(picture.width, size, stride) *
             CountAlong(picture.height, size, stride);
    if (count > max_windows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a picture of ", picture.width, "x", picture.height,
          " pixels has more than ", max_windows,
          " windows; use a larger stride, fewer sizes or a picture less "
          "elongated"));
    }
  }
  return absl::OkStatus();
}

void AddWindow(std::vector<Window>& windows, const Window& window) {
  for (Window& known : windows) {
    if (known.x == window.x && known.y == window.y &&
        known.size == window.size) {
      ++known.weight;
      return;
    }
  }
  windows.push_back(window);
}

}  // namespace

absl::StatusOr<std::vector<Window>> SlidingWindows(ImageSize picture,
                                                   absl::Span<const int> sizes,
                                                   int stride,
                                                   bool whole_picture,
                                                   int64_t max_windows) {
  OVDIFF_RETURN_IF_ERROR(
      CheckWindows(picture, sizes, stride, whole_picture, max_windows));
  std::vector<Window> windows;
  for (const int size : sizes) {
    const ImageSize cut{.width = std::min(size, picture.width),
                        .height = std::min(size, picture.height)};
    const int64_t rows = CountAlong(picture.height, size, stride);
    const int64_t columns = CountAlong(picture.width, size, stride);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        AddWindow(windows,
                  {.x = StartAlong(picture.width, size, stride, column),
                   .y = StartAlong(picture.height, size, stride, row),
                   .size = cut});
      }
    }
  }
  if (whole_picture) {
    AddWindow(windows, {.size = picture});
  }
  return windows;
}

torch::Tensor CellWeights(absl::Span<const PixelWeight> pixels, ImageSize size,
                          int64_t h, int64_t w) {
  torch::Tensor shares =
      torch::zeros({1, 1, size.height, size.width}, torch::kFloat32);
  float* data = shares.data_ptr<float>();
  for (const PixelWeight& pixel : pixels) {
    data[static_cast<int64_t>(pixel.y) * size.width + pixel.x] +=
        static_cast<float>(pixel.weight);
  }
  // Upsampling is linear: its gradient is the transposed matrix.
  return at::upsample_bilinear2d_backward(shares, {size.height, size.width},
                                          {1, 1, h, w},
                                          /*align_corners=*/false)
      .view({h, w});
}

WindowMerger::WindowMerger(int64_t num_rows, ImageSize picture,
                           torch::Device device)
    : sum_(torch::zeros({num_rows, picture.height, picture.width},
                        torch::device(device).dtype(torch::kFloat32))),
      count_(torch::zeros({picture.height, picture.width}, sum_.options())) {}

void WindowMerger::Add(const torch::Tensor& scores, const Window& window,
                       double weight) {
  TORCH_CHECK(scores.dim() == 3 && scores.size(0) == sum_.size(0),
              "window scores must be [", sum_.size(0), ", h, w], got ",
              scores.sizes());
  const int64_t height = window.size.height;
  const int64_t width = window.size.width;
  const auto part = [&](const torch::Tensor& map) {
    return map.narrow(-2, window.y, height).narrow(-1, window.x, width);
  };
  // [1, rows, h, w] -> [rows, height, width]
  const torch::Tensor upsampled =
      at::upsample_bilinear2d(scores.unsqueeze(0), {height, width},
                              /*align_corners=*/false)
          .squeeze(0);
  part(sum_).add_(upsampled, window.weight * weight);
  part(count_).add_(window.weight * weight);
}

torch::Tensor WindowMerger::Finish() {
  // Where no window is, the sum is 0, and the divisor must not be.
  return sum_.div_(count_.masked_fill_(count_ == 0, 1.0));
}

}  // namespace ovdiff::engine
