#include "engine/runners/picture_tensor.h"

#include <cstring>

#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

torch::Tensor ChannelTensor(const std::array<double, 3>& values,
                            torch::Device device) {
  torch::Tensor result = torch::empty({1, 3, 1, 1}, torch::kFloat32);
  for (int channel = 0; channel < 3; ++channel) {
    result.data_ptr<float>()[channel] = static_cast<float>(values[channel]);
  }
  return result.to(device);
}

}  // namespace

torch::Tensor ToTensor(const Image& image) {
  torch::Tensor pixels =
      torch::empty({image.height, image.width, 3}, torch::kUInt8);
  std::memcpy(pixels.data_ptr<uint8_t>(), image.data.data(), image.data.size());
  return pixels.permute({2, 0, 1})
      .to(torch::kFloat32)
      .div_(255.0)
      .contiguous()
      .unsqueeze(0);
}

Image ToImage(const torch::Tensor& picture) {
  const torch::Tensor pixels = picture.to(torch::kCPU, torch::kFloat32)
                                   .clamp(0, 1)
                                   .mul_(255.0)
                                   .to(torch::kUInt8)
                                   .permute({1, 2, 0})
                                   .contiguous();
  Image image;
  image.height = static_cast<int>(pixels.size(0));
  image.width = static_cast<int>(pixels.size(1));
  const uint8_t* data = pixels.data_ptr<uint8_t>();
  image.data.assign(data, data + pixels.numel());
  return image;
}

torch::Tensor Normalize(const torch::Tensor& images,
                        const Normalization& normalization) {
  return (images - ChannelTensor(normalization.mean, images.device())) /
         ChannelTensor(normalization.deviation, images.device());
}

}  // namespace ovdiff::engine
