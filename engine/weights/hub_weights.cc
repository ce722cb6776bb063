// ReadHubWeights and HubWeightFiles of safetensors.h.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/safetensors.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kIndexEnding = ".index.json";

std::vector<std::string> NamesLookedFor(const std::string& stem) {
  std::vector<std::string> names;
  for (const absl::string_view variant : {"", ".fp16"}) {
    names.push_back(absl::StrCat(stem, variant, ".safetensors"));
    names.push_back(absl::StrCat(stem, variant, ".safetensors", kIndexEnding));
  }
  return names;
}

// Pickled weights in the folder. They are programs, so they are never read.
std::vector<std::string> PickleNames(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".bin" || ending == ".pth" || ending == ".pt" ||
        ending == ".ckpt") {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status NoWeights(const std::string& folder, const std::string& stem) {
  std::string message = absl::StrCat("no weights in ", folder, ": looked for ",
                                     absl::StrJoin(NamesLookedFor(stem), ", "));
  const std::vector<std::string> pickles = PickleNames(folder);
  if (!pickles.empty()) {
    absl::StrAppend(
        &message, ". The folder only holds pickles (",
        absl::StrJoin(pickles, ", "),
        "), which are not read because reading one runs code; convert once, "
        "where torch and safetensors for Python are installed: python3 -c "
        "\"import torch; from safetensors.torch import save_file; w = "
        "torch.load('",
        pickles.front(),
        "', map_location='cpu', weights_only=True); w = w.get('state_dict', "
        "w); save_file({k: v.clone().contiguous() for k, v in w.items()}, '",
        stem, ".safetensors')\"");
  }
  return absl::NotFoundError(message);
}

// The first of the names looked for that is there.
absl::StatusOr<std::string> FindEntryFile(const std::string& folder,
                                          const std::string& stem) {
  for (const std::string& name : NamesLookedFor(stem)) {
    std::error_code error;
    if (fs::exists(fs::path(folder) / name, error)) {
      return (fs::path(folder) / name).string();
    }
  }
  return NoWeights(folder, stem);
}

// A shard is a plain file name in the index's own folder: a path could lead
// anywhere on the machine.
bool IsPlainShardName(absl::string_view name) {
  return absl::EndsWith(name, ".safetensors") && name[0] != '.' &&
         name.find_first_of(absl::string_view("/\\\0", 3)) ==
             absl::string_view::npos;
}

// Shard name -> the tensors that the index maps to it.
using ShardMap = std::map<std::string, std::set<std::string>>;

absl::StatusOr<ShardMap> ReadIndex(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const nlohmann::json index, ReadHubConfig(path));
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has no 'weight_map' of tensor names to file names"));
  }
  ShardMap shards;
  std::vector<std::string> bad;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() ||
        !IsPlainShardName(shard.get_ref<const std::string&>())) {
      bad.push_back(absl::StrCat("'", tensor, "' -> ", shard.dump()));
      continue;
    }
    shards[shard.get<std::string>()].insert(tensor);
  }
  if (!bad.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " maps tensors to something other than a plain ",
        "*.safetensors name in its own folder: ", absl::StrJoin(bad, ", ")));
  }
  return shards;
}

// Reads every shard once and compares what is there with what is mapped.
absl::StatusOr<StateDict> ReadShards(const std::string& index_path) {
  OVDIFF_ASSIGN_OR_RETURN(const ShardMap shards, ReadIndex(index_path));
  StateDict tensors;
  std::vector<std::string> missing;
  std::vector<std::string> unmapped;
  for (const auto& [shard, mapped] : shards) {
    const fs::path path = fs::path(index_path).parent_path() / shard;
    absl::StatusOr<StateDict> part = ReadSafetensors(path.string());
    if (absl::IsNotFound(part.status())) {
      return absl::FailedPreconditionError(absl::StrCat(
          index_path, " names the shard ", shard, ", which is not there"));
    }
    OVDIFF_RETURN_IF_ERROR(part.status());
    for (const std::string& name : mapped) {
      if (part->find(name) == part->end()) {
        missing.push_back(absl::StrCat(name, " (", shard, ")"));
      }
    }
    for (auto& [name, tensor] : *part) {
      if (mapped.count(name) == 0) {
        unmapped.push_back(absl::StrCat(name, " (", shard, ")"));
      } else {
        tensors.emplace(name, std::move(tensor));
      }
    }
  }
  if (!missing.empty() || !unmapped.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        index_path, " does not fit its shards. Not in the shard it maps to: [",
        absl::StrJoin(missing, ", "), "]; in a shard, but not mapped to it: [",
        absl::StrJoin(unmapped, ", "), "]"));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> HubWeightFiles(
    const std::string& folder, const std::string& stem) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string path, FindEntryFile(folder, stem));
  std::vector<std::string> files = {path};
  if (absl::EndsWith(path, kIndexEnding)) {
    OVDIFF_ASSIGN_OR_RETURN(const ShardMap shards, ReadIndex(path));
    for (const auto& [shard, mapped] : shards) {
      files.push_back((fs::path(folder) / shard).string());
    }
  }
  return files;
}

absl::StatusOr<StateDict> ReadHubWeights(const std::string& folder,
                                         const std::string& stem) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string path, FindEntryFile(folder, stem));
  return absl::EndsWith(path, kIndexEnding) ? ReadShards(path)
                                            : ReadSafetensors(path);
}

}  // namespace ovdiff::engine
