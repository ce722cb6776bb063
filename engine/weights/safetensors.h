// SafetensorsFile: reads one .safetensors file and trusts nothing in it.
// Format: huggingface/safetensors (commit 24b0b28), README "Format".
#ifndef OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_H_
#define OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Name to tensor. Tensors own their memory (nothing stays mapped), are on the
// CPU, contiguous, of the file's dtype.
using StateDict = std::map<std::string, torch::Tensor>;

// Reads a whole file. Never throws. Fails with
//   kNotFound            no file at `path`
//   kFailedPrecondition  malformed or unsupported; the message names the file,
//                        the tensor where there is one, and the broken rule
absl::StatusOr<StateDict> ReadSafetensors(const std::string& path);

// Finds a model's weights in a hub folder and reads them, merged over shards.
// `stem` is "model" (transformers, timm) or "diffusion_pytorch_model"
// (diffusers). Order: stem.safetensors, stem.safetensors.index.json,
// stem.fp16.safetensors, stem.fp16.safetensors.index.json.
// kNotFound lists the names that were looked for; a folder that only holds
// pickles (.bin, .pth) is told how to convert them. A shard name with a path in
// it, a mapped tensor that is not in its shard, or one that is in no map:
// kFailedPrecondition, all names listed.
absl::StatusOr<StateDict> ReadHubWeights(const std::string& folder,
                                         const std::string& stem);

// The files that ReadHubWeights(folder, stem) would read, index first; for
// fingerprints. Same errors for a folder without weights.
absl::StatusOr<std::vector<std::string>> HubWeightFiles(
    const std::string& folder, const std::string& stem);

// Writes tensors as one file (sorted by name, header padded to 8 bytes); for
// tests and tools.
absl::Status WriteSafetensors(const std::string& path,
                              const StateDict& tensors);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_H_
