// Pictures as tensors and back.
#ifndef OVDIFF_ENGINE_RUNNERS_PICTURE_TENSOR_H_
#define OVDIFF_ENGINE_RUNNERS_PICTURE_TENSOR_H_

#include "engine/base/image.h"
#include "engine/bundle/bundle.h"
#include "torch/types.h"

namespace ovdiff::engine {

// float32 [1, 3, height, width] in 0…1, on the CPU. A copy.
torch::Tensor ToTensor(const Image& image);

// `picture`: [3, H, W] in 0…1, any device. 8 bits by cutting, not rounding, as
// torchvision's PNG files of the official program were made (method.md 14.14).
Image ToImage(const torch::Tensor& picture);

// (images - mean) / deviation per channel; images [B, 3, H, W].
torch::Tensor Normalize(const torch::Tensor& images,
                        const Normalization& normalization);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_PICTURE_TENSOR_H_
