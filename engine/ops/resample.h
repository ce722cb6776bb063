// Resizing and cropping of 8-bit pictures, to the bit as Pillow does it:
// networks were trained and references were made with Pillow's pictures. No
// torch.
#ifndef OVDIFF_ENGINE_OPS_RESAMPLE_H_
#define OVDIFF_ENGINE_OPS_RESAMPLE_H_

#include "absl/status/statusor.h"
#include "engine/base/image.h"

namespace ovdiff::engine {

// Pillow's filters of the same names. All widen with the scale when shrinking
// (antialias); kBicubic has a = -0.5, kLanczos three lobes.
enum class ResampleFilter { kBilinear, kBicubic, kLanczos };

struct ImageSize {
  int width = 0;   // pixels
  int height = 0;  // pixels
  bool operator==(const ImageSize&) const = default;
};

// `image` at `size`: horizontal pass, then vertical, rounded to 8 bits after
// each. Same size: a copy. kInvalidArgument for an empty or misshapen image and
// for sides below 1.
absl::StatusOr<Image> ResizeImage(const Image& image, ImageSize size,
                                  ResampleFilter filter);

// Size whose short side is `short_side`; the long side is cut to
// int(short_side * long / short), torchvision's rule, at least 1.
// REQUIRES: all > 0
ImageSize ShortSideSize(ImageSize size, int short_side);

// The rectangle with corner (x, y). kInvalidArgument unless it lies inside.
absl::StatusOr<Image> CropImage(const Image& image, int x, int y,
                                ImageSize size);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_OPS_RESAMPLE_H_
