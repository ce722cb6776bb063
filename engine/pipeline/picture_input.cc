#include "engine/pipeline/picture_input.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace ovdiff::engine {

absl::Status CheckImage(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.data.size() != static_cast<size_t>(image.width) *
                               static_cast<size_t>(image.height) * 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the image is ", image.width, "x", image.height, " with ",
        image.data.size(), " bytes; it must have sides of at least 1 and ",
        "width * height * 3 bytes (RGB)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Image> WorkingPicture(const Image& image, int short_side,
                                     int max_long_side) {
  ImageSize size = ShortSideSize({image.width, image.height}, short_side);
  size.width = std::min(size.width, std::max(max_long_side, short_side));
  size.height = std::min(size.height, std::max(max_long_side, short_side));
  return ResizeImage(image, size, ResampleFilter::kLanczos);
}

ImageSize NetworkInputSize(ImageSize size, const InputSize& input,
                           int min_side) {
  if (input.fit == InputSize::Fit::kSquash) {
    const int side = std::max(input.size, min_side);
    return {side, side};
  }
  const double short_side = std::min(size.width, size.height);
  const double long_side = std::max(size.width, size.height);
  const double scale =
      std::min({1.0, input.size / short_side, input.max_size / long_side});
  const auto scaled = [scale, min_side](int side) {
    return std::max(min_side, static_cast<int>(std::lround(side * scale)));
  };
  return {scaled(size.width), scaled(size.height)};
}

absl::StatusOr<Image> NetworkInput(const Image& image, const InputSize& input,
                                   int min_side) {
  return ResizeImage(
      image, NetworkInputSize({image.width, image.height}, input, min_side),
      ResampleFilter::kBilinear);
}

}  // namespace ovdiff::engine
