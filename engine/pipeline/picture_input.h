// From a caller's picture to network inputs: the working picture, its windows,
// and their sizes. Runs on caller threads; torch-free.
#ifndef OVDIFF_ENGINE_PIPELINE_PICTURE_INPUT_H_
#define OVDIFF_ENGINE_PIPELINE_PICTURE_INPUT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/image.h"
#include "engine/bundle/bundle.h"
#include "engine/ops/resample.h"

namespace ovdiff::engine {

// kInvalidArgument unless the sides are above 0 and match the data.
absl::Status CheckImage(const Image& image);

// The picture that windows are cut from: short side `short_side`, and long
// side at most `max_long_side`, to which a more extreme picture is squashed, so
// that the number of windows stays bounded. Lanczos, as the official program.
absl::StatusOr<Image> WorkingPicture(const Image& image, int short_side,
                                     int max_long_side);

// Size of a network's input made of a crop of `size`; no side is below
// `min_side`, so that the network has at least one cell.
ImageSize NetworkInputSize(ImageSize size, const InputSize& input,
                           int min_side);

// `image` at its network input size; bilinear and, where it shrinks,
// antialiased (the official program's tensors are not: method.md 14.9).
absl::StatusOr<Image> NetworkInput(const Image& image, const InputSize& input,
                                   int min_side);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PICTURE_INPUT_H_
