// Loads the networks of a diffusers pipeline folder.
#ifndef OVDIFF_ENGINE_RUNNERS_DIFFUSION_NETWORKS_H_
#define OVDIFF_ENGINE_RUNNERS_DIFFUSION_NETWORKS_H_

#include <string>

#include "absl/status/statusor.h"
#include "engine/diffusion/noise_schedule.h"
#include "engine/nn/autoencoder_kl.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/unet_2d_condition.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Each reads <folder>/config.json and the weights beside it, and puts the
// network on `device` in `dtype`. Fails with
//   kNotFound            a file is missing
//   kFailedPrecondition  a config value or weight file that does not fit; the
//                        message names the folder and lists all names
//   kResourceExhausted   no memory
absl::StatusOr<UNet2DConditionModel> LoadUnet(const std::string& folder,
                                              torch::Device device,
                                              torch::Dtype dtype);
absl::StatusOr<AutoencoderKL> LoadVae(const std::string& folder,
                                      torch::Device device, torch::Dtype dtype);
absl::StatusOr<CLIPTextModel> LoadTextEncoder(const std::string& folder,
                                              torch::Device device,
                                              torch::Dtype dtype);
// Reads <folder>/scheduler_config.json.
absl::StatusOr<NoiseSchedule> LoadNoiseSchedule(const std::string& folder);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_DIFFUSION_NETWORKS_H_
