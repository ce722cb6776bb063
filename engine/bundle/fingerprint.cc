#include "engine/bundle/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "engine/base/status_macros.h"
#include "engine/bundle/validate_options.h"
#include "engine/engine.h"
#include "engine/weights/safetensors.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;

// A record of named fields. The name is hashed too, so that a field added later
// cannot be mistaken for another.
class Fields {
 public:
  explicit Fields(const std::string& kind) { hash_.UpdateField(kind); }

  void Add(const char* name, const std::string& value) {
    hash_.UpdateField(name);
    hash_.UpdateField(value);
  }
  void Add(const char* name, const Sha256Digest& digest) {
    Add(name, std::string(reinterpret_cast<const char*>(digest.data()),
                          digest.size()));
  }
  void Add(const char* name, uint64_t value) {
    std::string bytes;
    for (int shift = 0; shift < 64; shift += 8) {
      bytes.push_back(static_cast<char>((value >> shift) & 0xff));
    }
    Add(name, bytes);
  }
  void Add(const char* name, int value) {
    Add(name, static_cast<uint64_t>(static_cast<int64_t>(value)));
  }
  void Add(const char* name, double value) {
    uint64_t bits = 0;
    const double positive_zero = value + 0.0;  // -0.0 and 0.0 mean the same.
    std::memcpy(&bits, &positive_zero, sizeof(bits));
    Add(name, bits);
  }
  Sha256Digest Finish() { return hash_.Finish(); }

 private:
  Sha256 hash_;
};

// Hashes files, each path once.
class FileDigests {
 public:
  absl::Status AddFile(const std::string& path, Fields* fields) {
    if (!known_.contains(path)) {
      OVDIFF_ASSIGN_OR_RETURN(known_[path], Sha256OfFile(path));
    }
    fields->Add(fs::path(path).filename().c_str(), known_[path]);
    return absl::OkStatus();
  }

  absl::Status AddWeights(const std::string& folder, const std::string& stem,
                          Fields* fields) {
    OVDIFF_ASSIGN_OR_RETURN(const auto files, HubWeightFiles(folder, stem));
    for (const std::string& file : files) {
      OVDIFF_RETURN_IF_ERROR(AddFile(file, fields));
    }
    return absl::OkStatus();
  }

 private:
  std::map<std::string, Sha256Digest> known_;
};

absl::StatusOr<Sha256Digest> DigestDiffusion(const std::string& folder,
                                             FileDigests* files) {
  const fs::path root(folder);
  Fields fields("ovdiff diffusion files");
  for (const char* part : {"unet", "vae"}) {
    const std::string path = (root / part).string();
    OVDIFF_RETURN_IF_ERROR(files->AddFile(path + "/config.json", &fields));
    OVDIFF_RETURN_IF_ERROR(
        files->AddWeights(path, "diffusion_pytorch_model", &fields));
  }
  const std::string text = (root / "text_encoder").string();
  OVDIFF_RETURN_IF_ERROR(files->AddFile(text + "/config.json", &fields));
  OVDIFF_RETURN_IF_ERROR(files->AddWeights(text, "model", &fields));
  for (const char* file : {"tokenizer/vocab.json", "tokenizer/merges.txt",
                           "scheduler/scheduler_config.json"}) {
    OVDIFF_RETURN_IF_ERROR(files->AddFile((root / file).string(), &fields));
  }
  // May be absent; they name the special tokens.
  for (const char* file : {"tokenizer/tokenizer_config.json",
                           "tokenizer/special_tokens_map.json"}) {
    const fs::path path = root / file;
    if (fs::exists(path)) {
      OVDIFF_RETURN_IF_ERROR(files->AddFile(path.string(), &fields));
    }
  }
  return fields.Finish();
}

absl::StatusOr<Sha256Digest> DigestVision(const std::string& folder,
                                          FileDigests* files) {
  Fields fields("ovdiff vision files");
  OVDIFF_RETURN_IF_ERROR(files->AddFile(folder + "/config.json", &fields));
  OVDIFF_RETURN_IF_ERROR(files->AddWeights(folder, "model", &fields));
  return fields.Finish();
}

absl::StatusOr<Sha256Digest> DigestPrefilter(const PrefilterSpec& spec,
                                             FileDigests* files) {
  Fields fields("ovdiff prefilter files");
  OVDIFF_RETURN_IF_ERROR(files->AddFile(spec.folder + "/config.json", &fields));
  OVDIFF_RETURN_IF_ERROR(files->AddWeights(spec.folder, "model", &fields));
  for (const char* file : {"/vocab.json", "/merges.txt"}) {
    OVDIFF_RETURN_IF_ERROR(files->AddFile(spec.tokenizer + file, &fields));
  }
  return fields.Finish();
}

void AddNormalization(const Normalization& normalization, Fields* fields) {
  for (size_t channel = 0; channel < 3; ++channel) {
    fields->Add("mean", normalization.mean[channel]);
    fields->Add("std", normalization.deviation[channel]);
  }
}

void AddSpace(const SpaceSpec& space, const Sha256Digest& files,
              Fields* fields) {
  fields->Add("space", space.name);
  fields->Add("type", static_cast<int>(space.type));
  fields->Add("files", files);
  fields->Add("support_size", space.support.size);
  if (space.type == SpaceType::kStableDiffusion) {
    // Layers count as a set: their order in the vector is the network's.
    std::vector<std::string> layers = space.layers;
    std::sort(layers.begin(), layers.end());
    for (const std::string& layer : layers) {
      fields->Add("layer", layer);
    }
    fields->Add("timestep", space.timestep);
    fields->Add("prompt", space.prompt);
    return;
  }
  fields->Add("layer", space.layer);
  fields->Add("position_interpolation", static_cast<int>(space.position_rule));
  AddNormalization(space.normalization, fields);
}

void AddMaskCut(const Bundle& bundle, const BundleDigests& digests,
                const MaskCutOptions& options, Fields* fields) {
  const MaskCutSpec& spec = *bundle.maskcut;
  fields->Add("masks", std::string("maskcut"));
  fields->Add("affinity_threshold", options.affinity_threshold);
  fields->Add("max_masks", options.max_masks);
  fields->Add("input_size", spec.input_size);
  AddSpace(*bundle.FindSpace(spec.space), digests.spaces.at(spec.space),
           fields);
}

void AddCutler(const CutlerSpec& spec, const Sha256Digest& files,
               const CutlerOptions& options, Fields* fields) {
  fields->Add("masks", std::string("cutler"));
  fields->Add("score_threshold", options.score_threshold);
  fields->Add("max_detections", options.max_detections);
  fields->Add("files", files);
  fields->Add("short_side", spec.short_side);
  fields->Add("max_long_side", spec.max_long_side);
  AddNormalization(spec.normalization, fields);
}

// Only what the chosen source depends on.
void AddMasks(const Bundle& bundle, const BundleDigests& digests,
              const PrototypeOptions& options, Fields* fields) {
  if (options.mask_source == kMaskCutMasks && bundle.maskcut.has_value()) {
    AddMaskCut(bundle, digests, options.maskcut, fields);
  } else if (options.mask_source == kCutlerMasks && bundle.cutler.has_value()) {
    AddCutler(*bundle.cutler, digests.cutler, options.cutler, fields);
  } else {
    fields->Add("masks", std::string("attribution otsu"));
    return;
  }
  fields->Add("cut_by_attribution", options.cut_by_attribution ? 1 : 0);
}

void AddPruning(const Bundle& bundle, const BundleDigests& digests,
                double share, Fields* fields) {
  fields->Add("prune_share", share);
  if (share > 0) {
    fields->Add("prefilter", digests.prefilter);
    fields->Add("intermediate_size", bundle.prefilter.intermediate_size);
    fields->Add("input_size", bundle.prefilter.input_size);
    AddNormalization(bundle.prefilter.normalization, fields);
  }
}

// What a vector of the chosen spaces is made by.
Sha256Digest NetworksDigest(const Bundle& bundle, const BundleDigests& digests,
                            const std::string& dtype,
                            const std::vector<std::string>& chosen) {
  Fields fields("ovdiff encoder networks");
  fields.Add("version", kEncoderVersion);
  fields.Add("dtype", dtype);
  for (const std::string& name : chosen) {
    AddSpace(*bundle.FindSpace(name), digests.spaces.at(name), &fields);
  }
  return fields.Finish();
}

}  // namespace

absl::StatusOr<BundleDigests> DigestBundle(const Bundle& bundle) {
  FileDigests files;
  BundleDigests digests;
  OVDIFF_ASSIGN_OR_RETURN(digests.diffusion,
                          DigestDiffusion(bundle.diffusion_folder, &files));
  for (const SpaceSpec& space : bundle.spaces) {
    if (space.type == SpaceType::kStableDiffusion) {
      digests.spaces[space.name] = digests.diffusion;
      continue;
    }
    OVDIFF_ASSIGN_OR_RETURN(digests.spaces[space.name],
                            DigestVision(space.folder, &files));
  }
  OVDIFF_ASSIGN_OR_RETURN(digests.prefilter,
                          DigestPrefilter(bundle.prefilter, &files));
  if (bundle.cutler.has_value()) {
    OVDIFF_ASSIGN_OR_RETURN(digests.cutler,
                            DigestVision(bundle.cutler->folder, &files));
  }
  return digests;
}

Sha256Digest GeneratorFingerprint(const Bundle& bundle,
                                  const BundleDigests& digests,
                                  const std::string& dtype,
                                  const GenerationOptions& options) {
  Fields fields("ovdiff generator");
  fields.Add("version", kGeneratorVersion);
  fields.Add("files", digests.diffusion);
  fields.Add("dtype", dtype);
  fields.Add("picture_size", bundle.picture_size);
  fields.Add("sampler", std::string("dpmsolver++ 2m"));
  fields.Add("num_pictures", options.num_pictures);
  fields.Add("num_steps", options.num_steps);
  fields.Add("guidance_scale", options.guidance_scale);
  fields.Add("prompt_template", options.prompt_template);
  fields.Add("negative_prompt", options.negative_prompt);
  fields.Add("seed", options.seed);
  fields.Add("noise_dtype", options.noise_dtype);
  fields.Add("final_sigmas_type", options.final_sigmas_type);
  if (options.self_attention_rounds > 0) {
    // Pictures painted before there was this option keep their fingerprint.
    fields.Add("self_attention_rounds", options.self_attention_rounds);
  }
  return fields.Finish();
}

Sha256Digest EncoderFingerprint(const Bundle& bundle,
                                const BundleDigests& digests,
                                const std::string& dtype,
                                const PrototypeOptions& options) {
  const Sha256Digest networks = NetworksDigest(
      bundle, digests, dtype, ResolveSpaces(options.spaces, bundle));
  Fields fields("ovdiff encoder");
  fields.Add("networks", networks);
  AddMasks(bundle, digests, options, &fields);
  fields.Add("num_parts", options.num_parts);
  fields.Add("kmeans_max_iterations", options.kmeans_max_iterations);
  fields.Add("kmeans_seed", options.kmeans_seed);
  fields.Add("kmeans_draws", "MT19937");
  fields.Add("otsu_bins", options.otsu_bins);
  fields.Add("fallback_background", options.fallback_background);
  fields.Add("fallback_foreground", options.fallback_foreground);
  fields.Add("cell_rule", options.cell_rule);
  fields.Add("min_cell_coverage", options.min_cell_coverage);
  fields.Add("background_beside_given_masks", std::string("free cells"));
  AddPruning(bundle, digests, options.prune_share, &fields);
  fields.Add("normalize_features", options.normalize_features ? 1 : 0);
  fields.Add("noise_seed", options.noise_seed);
  fields.Add("shared_noise", options.shared_noise ? 1 : 0);
  Sha256Digest fingerprint = fields.Finish();
  std::copy_n(networks.begin(), kNetworkBytes, fingerprint.begin());
  return fingerprint;
}

}  // namespace ovdiff::engine
