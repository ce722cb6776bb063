#include "engine/runners/diffusion_networks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/nn/feature_map.h"
#include "engine/runners/load_network.h"
#include "engine/runtime/torch_status.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/key_map.h"

namespace ovdiff::engine {
namespace {

constexpr char kDiffusersStem[] = "diffusion_pytorch_model";
constexpr char kTransformersStem[] = "model";

}  // namespace

absl::StatusOr<UNet2DConditionModel> LoadUnet(const std::string& folder,
                                              torch::Device device,
                                              torch::Dtype dtype) {
  return LoadNetwork<UNet2DConditionModel, UNet2DConditionConfig>(
      {.what = "unet", .folder = folder, .stem = kDiffusersStem}, device,
      dtype);
}

absl::StatusOr<AutoencoderKL> LoadVae(const std::string& folder,
                                      torch::Device device,
                                      torch::Dtype dtype) {
  auto vae = LoadNetwork<AutoencoderKL, AutoencoderKLConfig>(
      {.what = "vae",
       .folder = folder,
       .stem = kDiffusersStem,
       .rename = &ToAutoencoderKlKeys,
       .ignore = IgnoredAutoencoderKlKeys()},
      device, dtype);
  // On the CPU its convolutions gain a fifth by it; the UNet's, between
  // attention layers, lose a tenth (measured on the demo bundle).
  if (vae.ok() && device.is_cpu()) {
    OVDIFF_RETURN_IF_ERROR(CallTorch("vae layout", [&] {
      UseChannelsLast(**vae);
      return absl::OkStatus();
    }));
  }
  return vae;
}

absl::StatusOr<CLIPTextModel> LoadTextEncoder(const std::string& folder,
                                              torch::Device device,
                                              torch::Dtype dtype) {
  return LoadNetwork<CLIPTextModel, CLIPTextConfig>(
      {.what = "text_encoder",
       .folder = folder,
       .stem = kTransformersStem,
       .rename = &ToClipTextModelKeys,
       .ignore = IgnoredClipTextModelKeys()},
      device, dtype);
}

absl::StatusOr<NoiseSchedule> LoadNoiseSchedule(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/scheduler_config.json");
  OVDIFF_ASSIGN_OR_RETURN(const auto json, ReadHubConfig(path));
  auto config = NoiseScheduleConfig::FromJsonText(json.dump());
  if (!config.ok()) {
    return InFile(path, config.status());
  }
  auto schedule = NoiseSchedule::Create(*config);
  if (!schedule.ok()) {
    return InFile(path, schedule.status());
  }
  return schedule;
}

}  // namespace ovdiff::engine
