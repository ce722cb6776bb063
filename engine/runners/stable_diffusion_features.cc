#include "engine/runners/stable_diffusion_features.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/runners/noise.h"
#include "engine/runners/prompt_tokens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// "mid_block.attentions.0" of
// "mid_block.attentions.0.transformer_blocks.0.attn2".
std::string BlockName(const std::string& layer) {
  return layer.substr(0, layer.find(".transformer_blocks."));
}

absl::StatusOr<std::set<int64_t>> FindLayers(
    const SpaceSpec& spec, const std::vector<CrossAttentionLayer>& all) {
  std::set<int64_t> found;
  for (const std::string& wanted : spec.layers) {
    const size_t before = found.size();
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].name == wanted || BlockName(all[i].name) == wanted) {
        found.insert(static_cast<int64_t>(i));
      }
    }
    if (found.size() == before) {
      std::vector<std::string> names;
      for (const CrossAttentionLayer& layer : all) {
        names.push_back(BlockName(layer.name));
      }
      return absl::FailedPreconditionError(absl::StrCat(
          "space ", spec.name, ": layer \"", wanted,
          "\" is named twice or not a cross-attention of the UNet, which has ",
          absl::StrJoin(names, ", ")));
    }
  }
  return found;
}

// [B, h*w, C] -> [B, C, height, width]
torch::Tensor ToMap(const CrossAttentionQueries& layer, int64_t height,
                    int64_t width) {
  const torch::Tensor map =
      layer.values.to(torch::kFloat32)
          .transpose(1, 2)
          .reshape({layer.values.size(0), layer.values.size(2), layer.height,
                    layer.width});
  if (layer.height == height && layer.width == width) {
    return map;
  }
  return torch::upsample_bilinear2d(map, {height, width},
                                    /*align_corners=*/false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StableDiffusionFeatures>>
StableDiffusionFeatures::Create(const SpaceSpec& spec,
                                const StableDiffusionRunner& runner,
                                ComputeDevice& device) {
  std::unique_ptr<StableDiffusionFeatures> result(
      new StableDiffusionFeatures(spec, runner));
  OVDIFF_ASSIGN_OR_RETURN(result->layers_,
                          FindLayers(spec, runner.cross_attention_layers()));
  for (const int64_t layer : result->layers_) {
    result->feature_dim_ += runner.cross_attention_layers()[layer].channels;
  }
  const int64_t steps = runner.schedule().num_train_timesteps();
  if (spec.timestep < 0 || spec.timestep >= steps) {
    return absl::FailedPreconditionError(
        absl::StrCat("space ", spec.name, ": \"timestep\" is ", spec.timestep,
                     "; allowed are 0 to ", steps - 1));
  }
  OVDIFF_ASSIGN_OR_RETURN(
      const std::vector<int64_t> ids,
      PaddedIds(runner.tokenizer(), spec.prompt, runner.context_length()));
  OVDIFF_RETURN_IF_ERROR(device.ForEach(1, [&](int64_t) {
    result->text_ = runner.EncodeText(ids);
    return absl::OkStatus();
  }));
  return result;
}

torch::Tensor StableDiffusionFeatures::Extract(
    const torch::Tensor& images, const FeatureNoise& noise) const {
  const int64_t height = images.size(2) / runner_.downscale();
  const int64_t width = images.size(3) / runner_.downscale();
  NoiseSource source(noise.seed);
  const std::vector<int64_t> shape = {1, runner_.latent_channels(), height,
                                      width};
  const torch::Tensor posterior = source.Draw(shape, torch::kFloat32);
  const torch::Tensor forward =
      noise.shared ? posterior : source.Draw(shape, torch::kFloat32);
  const auto queries = runner_.Queries(runner_.Encode(images, posterior),
                                       forward, spec_.timestep, text_, layers_);
  int64_t grid_height = 1;
  int64_t grid_width = 1;
  for (const CrossAttentionQueries& layer : queries) {
    grid_height = std::max(grid_height, layer.height);
    grid_width = std::max(grid_width, layer.width);
  }
  std::vector<torch::Tensor> maps;
  for (const CrossAttentionQueries& layer : queries) {
    maps.push_back(ToMap(layer, grid_height, grid_width));
  }
  return torch::cat(maps, /*dim=*/1);
}

}  // namespace ovdiff::engine
