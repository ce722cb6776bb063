// How to build classes, as flags of `ovdiff add`.
#ifndef OVDIFF_CLIENT_BUILD_FLAGS_H_
#define OVDIFF_CLIENT_BUILD_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::client {

// Values are the server's to check; what is not given stays unset.
struct BuildFlags {
  std::optional<int> pictures;
  std::optional<int> steps;
  std::optional<int> parts;
  std::optional<double> guidance;
  std::optional<uint64_t> seed;
  std::optional<std::string> prompt_template;
  std::optional<std::string> negative_prompt;
  std::string profile;
  std::optional<std::string> mask_source;
  std::optional<int> self_attention_rounds;
  std::optional<bool> cut_by_attribution;
  std::optional<double> prune_share;
  std::vector<std::string> spaces;
};

// `flags` must outlive `command`.
void AddBuildFlags(CLI::App& command, BuildFlags& flags);

// All but the profile, which is a field of the request.
v1::BuildOptions ToBuildOptions(const BuildFlags& flags);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_BUILD_FLAGS_H_
