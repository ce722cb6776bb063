// LoadStateDict: strict load of a checkpoint into a module by name.
#ifndef OVDIFF_ENGINE_WEIGHTS_LOAD_STATE_DICT_H_
#define OVDIFF_ENGINE_WEIGHTS_LOAD_STATE_DICT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/weights/safetensors.h"

namespace torch::nn {
class Module;
}

namespace ovdiff::engine {

struct LoadStateDictOptions {
  // What the tensors are for, in messages: "unet", "clip", ….
  std::string what;
  // RE2 patterns (full match) of checkpoint keys that the module need not have.
  std::vector<std::string> ignore_unexpected;
  // RE2 patterns of module keys that the checkpoint need not have.
  std::vector<std::string> ignore_missing;
};

// Copies every tensor into the module's parameter or buffer of the same name,
// converted to that parameter's dtype and device, then puts the module in
// eval mode without gradients. Every key of the module is matched once with
// equal shape (a 1x1 convolution and a linear weight of equal element count
// count as equal: networks.md pitfall 19) and no key is left over, else nothing
// is copied and kFailedPrecondition lists all missing, unexpected and misshapen
// names.
absl::Status LoadStateDict(torch::nn::Module& module, const StateDict& tensors,
                           const LoadStateDictOptions& options);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_LOAD_STATE_DICT_H_
