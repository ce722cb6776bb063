#include "engine/ops/resample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

constexpr int kChannels = 3;
// Weights are integers of this many fractional bits, as in Pillow's Resample.c:
// 32 bits less 8 of a pixel less 2 for sums beyond 1.
constexpr int kPrecisionBits = 32 - 8 - 2;

double Sinc(double x) {
  if (x == 0) {
    return 1;
  }
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double Kernel(ResampleFilter filter, double x) {
  switch (filter) {
    case ResampleFilter::kBilinear:
      x = std::abs(x);
      return x < 1 ? 1 - x : 0;
    case ResampleFilter::kBicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1) {
        return ((a + 2) * x - (a + 3)) * x * x + 1;
      }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    case ResampleFilter::kLanczos:
      return x >= -3 && x < 3 ? Sinc(x) * Sinc(x / 3) : 0;
  }
  return 0;
}

double Support(ResampleFilter filter) {
  switch (filter) {
    case ResampleFilter::kBilinear:
      return 1;
    case ResampleFilter::kBicubic:
      return 2;
    case ResampleFilter::kLanczos:
      return 3;
  }
  return 0;
}

// The input pixels that make one output pixel: first, and their weights.
struct Taps {
  int first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> MakeTaps(int in, int out, ResampleFilter filter) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = Support(filter) * filter_scale;
  std::vector<Taps> all(out);
  std::vector<double> weights;
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), in);
    weights.clear();
    double sum = 0;
    for (int x = first; x < last; ++x) {
      weights.push_back(
          Kernel(filter, (x - centre + 0.5) * (1.0 / filter_scale)));
      sum += weights.back();
    }
    all[i].first = first;
    for (const double weight : weights) {
      const double scaled =
          (sum != 0 ? weight / sum : weight) * (1 << kPrecisionBits);
      all[i].weights.push_back(
          static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
  }
  return all;
}

// One output value from values `step` bytes apart, rounded and clipped to 8
// bits.
uint8_t Weigh(const uint8_t* in, size_t step, const Taps& taps) {
  int32_t sum = 1 << (kPrecisionBits - 1);
  for (size_t i = 0; i < taps.weights.size(); ++i) {
    sum += in[i * step] * taps.weights[i];
  }
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

Image ResizeColumns(const Image& in, int width, ResampleFilter filter) {
  Image out{.width = width, .height = in.height, .data = {}};
  out.data.resize(size_t{1} * width * in.height * kChannels);
  const std::vector<Taps> taps = MakeTaps(in.width, width, filter);
  uint8_t* to = out.data.data();
  for (int y = 0; y < in.height; ++y) {
    const uint8_t* row =
        in.data.data() + static_cast<size_t>(y) * in.width * kChannels;
    for (const Taps& tap : taps) {
      for (int c = 0; c < kChannels; ++c) {
        *to++ = Weigh(row + static_cast<size_t>(tap.first) * kChannels + c,
                      kChannels, tap);
      }
    }
  }
  return out;
}

Image ResizeRows(const Image& in, int height, ResampleFilter filter) {
  Image out{.width = in.width, .height = height, .data = {}};
  const size_t row_bytes = static_cast<size_t>(in.width) * kChannels;
  out.data.resize(row_bytes * height);
  const std::vector<Taps> taps = MakeTaps(in.height, height, filter);
  uint8_t* to = out.data.data();
  for (const Taps& tap : taps) {
    const uint8_t* column = in.data.data() + row_bytes * tap.first;
    for (size_t x = 0; x < row_bytes; ++x) {
      *to++ = Weigh(column + x, row_bytes, tap);
    }
  }
  return out;
}

absl::Status CheckImage(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.data.size() !=
          static_cast<size_t>(image.width) * image.height * kChannels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an image of ", image.width, "x", image.height, " pixels has ",
        image.data.size(), " bytes; expected sides of at least 1 and ",
        kChannels, " bytes a pixel"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Image> ResizeImage(const Image& image, ImageSize size,
                                  ResampleFilter filter) {
  OVDIFF_RETURN_IF_ERROR(CheckImage(image));
  if (size.width < 1 || size.height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot resize an image to ", size.width, "x", size.height,
                     " pixels; sides must be at least 1"));
  }
  Image out = image.width == size.width
                  ? image
                  : ResizeColumns(image, size.width, filter);
  if (image.height != size.height) {
    out = ResizeRows(out, size.height, filter);
  }
  return out;
}

ImageSize ShortSideSize(ImageSize size, int short_side) {
  const auto [small, large] = std::minmax(size.width, size.height);
  const int long_side = std::max(
      1, static_cast<int>(static_cast<int64_t>(short_side) * large / small));
  return size.width <= size.height
             ? ImageSize{.width = short_side, .height = long_side}
             : ImageSize{.width = long_side, .height = short_side};
}

absl::StatusOr<Image> CropImage(const Image& image, int x, int y,
                                ImageSize size) {
  OVDIFF_RETURN_IF_ERROR(CheckImage(image));
  if (x < 0 || y < 0 || size.width < 1 || size.height < 1 ||
      size.width > image.width - x || size.height > image.height - y) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the rectangle ", size.width, "x", size.height, " at (", x, ", ", y,
        ") is empty or leaves the image of ", image.width, "x", image.height));
  }
  Image out{.width = size.width, .height = size.height, .data = {}};
  const size_t row_bytes = static_cast<size_t>(size.width) * kChannels;
  out.data.resize(row_bytes * size.height);
  for (int row = 0; row < size.height; ++row) {
    const auto* from =
        image.data.data() +
        (static_cast<size_t>(y + row) * image.width + x) * kChannels;
    std::copy_n(from, row_bytes, out.data.data() + row_bytes * row);
  }
  return out;
}

}  // namespace ovdiff::engine
