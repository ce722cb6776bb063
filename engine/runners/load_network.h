// LoadNetwork: a hub folder to a network on a device.
#ifndef OVDIFF_ENGINE_RUNNERS_LOAD_NETWORK_H_
#define OVDIFF_ENGINE_RUNNERS_LOAD_NETWORK_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/runtime/torch_status.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/load_state_dict.h"
#include "engine/weights/safetensors.h"
#include "torch/nn/module.h"

namespace ovdiff::engine {

struct NetworkFiles {
  std::string what;    // in messages: "unet"
  std::string folder;  // config.json and weights
  std::string stem;    // of the weight files, see ReadHubWeights()
  // Brings the file's keys to the network's; null where there is one spelling.
  absl::StatusOr<StateDict> (*rename)(StateDict) = nullptr;
  std::vector<std::string> ignore =
      {};  // RE2 patterns of keys beyond the network
};

// A config or weight error as kFailedPrecondition (a missing file stays
// kNotFound), with the path in front.
absl::Status InFile(const std::string& path, const absl::Status& status);

// Reads the weights of `files` into `network`, strictly.
absl::Status LoadWeights(const NetworkFiles& files, torch::nn::Module& network);

// Reads config and weights and builds the network on `device` in `dtype`.
// kNotFound, kFailedPrecondition (all names listed) or kResourceExhausted.
template <typename Network, typename Config>
absl::StatusOr<Network> LoadNetwork(const NetworkFiles& files,
                                    torch::Device device, torch::Dtype dtype) {
  const std::string path = files.folder + "/config.json";
  OVDIFF_ASSIGN_OR_RETURN(const auto json, ReadHubConfig(path));
  auto config = Config::FromJsonText(json.dump());
  if (!config.ok()) {
    return InFile(path, config.status());
  }
  return CallTorch("loading " + files.what, [&]() -> absl::StatusOr<Network> {
    Network network(*config);
    network->to(device, dtype);
    OVDIFF_RETURN_IF_ERROR(LoadWeights(files, *network));
    return network;
  });
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNNERS_LOAD_NETWORK_H_
