#include "engine/bundle/bundle.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/json_object.h"
#include "engine/bundle/options_json.h"
#include "engine/weights/hub_config_file.h"

namespace ovdiff::engine {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kMaxSide = 8192;  // pixels, of any network input

// One of several words, as a value.
template <typename T>
void ReadWord(JsonObject& object, const std::string& key,
              const std::vector<std::pair<std::string, T>>& words, T* out) {
  std::string word;
  object.Required(key, &word);
  std::vector<std::string> allowed;
  for (const auto& [name, value] : words) {
    allowed.push_back(name);
    if (name == word) {
      *out = value;
      return;
    }
  }
  object.Fail(key, absl::StrCat("is \"", word, "\"; allowed are ",
                                absl::StrJoin(allowed, ", ")));
}

void ReadSide(JsonObject& object, const std::string& key, int* side) {
  object.Required(key, side);
  if (*side < 1 || *side > kMaxSide) {
    object.Fail(key, absl::StrCat("is ", *side, "; allowed are 1 to ", kMaxSide,
                                  " pixels"));
  }
}

std::string ReadFolder(JsonObject& object, const std::string& key,
                       const std::string& bundle_folder) {
  std::string name;
  object.Required(key, &name);
  const fs::path path = fs::path(bundle_folder) / name;
  std::error_code error;
  if (!name.empty() && !fs::is_directory(path, error)) {
    object.Merge(absl::NotFoundError(
        absl::StrCat(object.where(), ": \"", key, "\" names the folder ",
                     path.string(), ", which does not exist")));
  }
  if (name.empty()) {
    object.Fail(key, "is empty; name a folder, relative to the bundle's");
  }
  return path.lexically_normal().string();
}

InputSize ReadInputSize(JsonObject& parent, const std::string& key,
                        bool keep_allowed) {
  InputSize input;
  const json* child = parent.Child(key, /*required=*/true);
  if (child == nullptr) {
    return input;
  }
  JsonObject object(*child, absl::StrCat(parent.where(), ".", key));
  std::vector<std::pair<std::string, InputSize::Fit>> words = {
      {"squash", InputSize::Fit::kSquash}};
  if (keep_allowed) {
    words.emplace_back("keep", InputSize::Fit::kKeep);
  }
  ReadWord(object, "fit", words, &input.fit);
  ReadSide(object, "size", &input.size);
  if (input.fit == InputSize::Fit::kKeep) {
    ReadSide(object, "max_size", &input.max_size);
    if (input.max_size < input.size) {
      object.Fail("max_size",
                  absl::StrCat("is ", input.max_size, ", less than \"size\" ",
                               input.size));
    }
  }
  parent.Merge(object.Finish());
  return input;
}

Normalization ReadNormalization(JsonObject& object) {
  Normalization result;
  std::vector<double> mean;
  std::vector<double> deviation;
  object.Required("mean", &mean);
  object.Required("std", &deviation);
  if (mean.size() != 3 || deviation.size() != 3) {
    object.Fail("mean", "and \"std\" must have three numbers each: R, G, B");
    return result;
  }
  for (size_t i = 0; i < 3; ++i) {
    result.mean[i] = mean[i];
    result.deviation[i] = deviation[i];
    if (deviation[i] <= 0) {
      object.Fail("std",
                  absl::StrCat("has ", deviation[i], "; it must be above 0"));
    }
  }
  return result;
}

void ReadDiffusionSpace(JsonObject& object, SpaceSpec* space) {
  object.Required("layers", &space->layers);
  object.Required("timestep", &space->timestep);
  object.Optional("prompt", &space->prompt);
  if (space->layers.empty()) {
    object.Fail("layers", "is empty; name attention blocks of the UNet");
  }
}

void ReadVisionSpace(JsonObject& object, const std::string& bundle_folder,
                     SpaceSpec* space) {
  space->folder = ReadFolder(object, "folder", bundle_folder);
  object.Required("layer", &space->layer);
  space->normalization = ReadNormalization(object);
  ReadWord(object, "position_interpolation",
           std::vector<std::pair<std::string, PositionRule>>{
               {"scale_offset", PositionRule::kScaleOffset},
               {"size", PositionRule::kSize}},
           &space->position_rule);
}

absl::StatusOr<SpaceSpec> ReadSpace(const json& value, std::string where,
                                    const Bundle& bundle) {
  JsonObject object(value, std::move(where));
  SpaceSpec space;
  object.Required("name", &space.name);
  if (space.name.empty()) {
    object.Fail("name", "is empty");
  }
  ReadWord(object, "type",
           std::vector<std::pair<std::string, SpaceType>>{
               {"stable_diffusion", SpaceType::kStableDiffusion},
               {"vit", SpaceType::kVit},
               {"clip_vision", SpaceType::kClipVision}},
           &space.type);
  object.Optional("optional", &space.optional);
  if (space.type == SpaceType::kStableDiffusion) {
    space.folder = bundle.diffusion_folder;
    ReadDiffusionSpace(object, &space);
  } else {
    ReadVisionSpace(object, bundle.folder, &space);
  }
  space.support = ReadInputSize(object, "support_input", false);
  space.window =
      ReadInputSize(object, "window_input", space.type == SpaceType::kVit);
  OVDIFF_RETURN_IF_ERROR(object.Finish());
  return space;
}

void ReadSpaces(JsonObject& root, Bundle* bundle) {
  const json* list = root.Child("spaces", /*required=*/true);
  if (list == nullptr) {
    return;
  }
  if (!list->is_array() || list->empty()) {
    root.Fail("spaces", "must be a list of at least one feature space");
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    auto space = ReadSpace(
        (*list)[i], absl::StrCat(root.where(), ": spaces[", i, "]"), *bundle);
    if (!space.ok()) {
      root.Merge(space.status());
      return;
    }
    if (!names.insert(space->name).second) {
      root.Fail("spaces", absl::StrCat("has \"", space->name, "\" twice"));
    }
    bundle->spaces.push_back(*std::move(space));
  }
  if (std::all_of(bundle->spaces.begin(), bundle->spaces.end(),
                  [](const SpaceSpec& space) { return space.optional; })) {
    root.Fail("spaces", "are all optional; one at least must not be");
  }
  bundle->prototype.spaces = bundle->DefaultSpaces();
}

void ReadPrefilter(JsonObject& root, Bundle* bundle) {
  const json* child = root.Child("prefilter", /*required=*/true);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": prefilter"));
  PrefilterSpec& spec = bundle->prefilter;
  spec.folder = ReadFolder(object, "folder", bundle->folder);
  spec.tokenizer = ReadFolder(object, "tokenizer", bundle->folder);
  ReadSide(object, "intermediate_size", &spec.intermediate_size);
  ReadSide(object, "input_size", &spec.input_size);
  spec.normalization = ReadNormalization(object);
  root.Merge(object.Finish());
}

void ReadMaskCut(JsonObject& root, Bundle* bundle) {
  const json* child = root.Child("maskcut", /*required=*/false);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": maskcut"));
  MaskCutSpec& spec = bundle->maskcut.emplace();
  object.Required("space", &spec.space);
  ReadSide(object, "input_size", &spec.input_size);
  std::vector<std::string> allowed;
  for (const SpaceSpec& space : bundle->spaces) {
    if (space.type == SpaceType::kVit) {
      allowed.push_back(space.name);
    }
  }
  if (std::find(allowed.begin(), allowed.end(), spec.space) == allowed.end()) {
    object.Fail("space",
                absl::StrCat("is \"", spec.space,
                             "\"; allowed are the spaces of type vit: ",
                             absl::StrJoin(allowed, ", ")));
  }
  root.Merge(object.Finish());
}

void ReadCutler(JsonObject& root, Bundle* bundle) {
  const json* child = root.Child("cutler", /*required=*/false);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": cutler"));
  CutlerSpec& spec = bundle->cutler.emplace();
  spec.folder = ReadFolder(object, "folder", bundle->folder);
  ReadSide(object, "short_side", &spec.short_side);
  ReadSide(object, "max_long_side", &spec.max_long_side);
  if (spec.max_long_side < spec.short_side) {
    object.Fail("max_long_side", "is less than \"short_side\"");
  }
  spec.normalization = ReadNormalization(object);
  root.Merge(object.Finish());
}

void ReadWindows(JsonObject& root, Bundle* bundle) {
  const json* child = root.Child("windows", /*required=*/true);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": windows"));
  WindowOptions& windows = bundle->windows;
  ReadSide(object, "short_side", &windows.short_side);
  object.Required("sizes", &windows.sizes);
  ReadSide(object, "stride", &windows.stride);
  ReadSide(object, "max_long_side", &bundle->max_long_side);
  for (const int size : windows.sizes) {
    if (size < 1 || size > windows.short_side) {
      object.Fail("sizes", absl::StrCat("has ", size,
                                        "; allowed are 1 to "
                                        "\"short_side\", ",
                                        windows.short_side));
    }
  }
  if (bundle->max_long_side < windows.short_side) {
    object.Fail("max_long_side", "is less than \"short_side\"");
  }
  root.Merge(object.Finish());
}

void ReadDiffusion(JsonObject& root, Bundle* bundle) {
  const json* child = root.Child("diffusion", /*required=*/true);
  if (child == nullptr) {
    return;
  }
  JsonObject object(*child, absl::StrCat(root.where(), ": diffusion"));
  bundle->diffusion_folder = ReadFolder(object, "folder", bundle->folder);
  ReadSide(object, "picture_size", &bundle->picture_size);
  root.Merge(object.Finish());
}

void ReadPrecision(JsonObject& root, Bundle* bundle) {
  std::string dtype = bundle->cuda_dtype;
  root.Optional("cuda_dtype", &dtype);
  const std::set<std::string> allowed = {"float32", "float16", "bfloat16"};
  if (!allowed.contains(dtype)) {
    root.Fail("cuda_dtype", absl::StrCat("is \"", dtype, "\"; allowed are ",
                                         absl::StrJoin(allowed, ", ")));
  }
  bundle->cuda_dtype = dtype;
}

void ReadFormat(JsonObject& root) {
  int format = 0;
  root.Required("format", &format);
  if (format != kBundleFormat) {
    root.Fail("format", absl::StrCat("is ", format, "; this program reads ",
                                     kBundleFormat));
  }
}

}  // namespace

std::vector<std::string> Bundle::DefaultSpaces() const {
  std::vector<std::string> names;
  for (const SpaceSpec& space : spaces) {
    if (!space.optional) {
      names.push_back(space.name);
    }
  }
  return names.size() == spaces.size() ? std::vector<std::string>() : names;
}

const SpaceSpec* Bundle::FindSpace(const std::string& space) const {
  const auto found =
      std::find_if(spaces.begin(), spaces.end(),
                   [&](const SpaceSpec& spec) { return spec.name == space; });
  return found == spaces.end() ? nullptr : &*found;
}

absl::StatusOr<Bundle> ReadBundle(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(
        absl::StrCat("the bundle folder ", folder, " does not exist"));
  }
  const std::string path = (fs::path(folder) / "bundle.json").string();
  OVDIFF_ASSIGN_OR_RETURN(const json document, ReadHubConfig(path));
  Bundle bundle;
  bundle.folder = folder;
  JsonObject root(document, path);
  ReadFormat(root);
  root.Required("name", &bundle.name);
  root.Required("license", &bundle.license);
  std::string description;  // For readers of the file only.
  root.Optional("description", &description);
  ReadDiffusion(root, &bundle);
  ReadPrecision(root, &bundle);
  ReadSpaces(root, &bundle);
  ReadPrefilter(root, &bundle);
  ReadMaskCut(root, &bundle);
  ReadCutler(root, &bundle);
  ReadWindows(root, &bundle);
  ReadOptionOverrides(root, &bundle.generation, &bundle.prototype,
                      &bundle.segment);
  OVDIFF_RETURN_IF_ERROR(root.Finish());
  return bundle;
}

}  // namespace ovdiff::engine
