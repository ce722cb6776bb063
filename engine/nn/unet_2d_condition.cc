#include "engine/nn/unet_2d_condition.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ovdiff::engine {
namespace {

torch::nn::Conv2d MakeConv3x3(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

void CheckObserver(const AttentionObserver& observer, int64_t tokens) {
  TORCH_CHECK(observer.query_layers.empty() || observer.on_queries,
              "queries are observed, but on_queries is not set");
  TORCH_CHECK(
      observer.max_self_attention_cells == 0 || observer.on_self_attention,
      "self-attention is observed, but on_self_attention is not set");
  if (observer.probability_layers.empty()) return;
  TORCH_CHECK(observer.on_probabilities && !observer.token_columns.empty(),
              "probabilities are observed, but on_probabilities or "
              "token_columns is not set");
  for (int64_t column : observer.token_columns) {
    TORCH_CHECK(column >= 0 && column < tokens, "token column ", column, " of ",
                tokens);
  }
}

}  // namespace

UNet2DConditionModelImpl::UNet2DConditionModelImpl(
    const UNet2DConditionConfig& config)
    : config_(config) {
  const std::vector<int64_t>& channels = config_.block_out_channels;
  conv_in =
      register_module("conv_in", MakeConv3x3(config_.in_channels, channels[0]));
  time_embedding = register_module(
      "time_embedding",
      TimestepEmbedding(channels[0], config_.time_embedding_dim));
  down_blocks = register_module("down_blocks", torch::nn::ModuleList());
  up_blocks = register_module("up_blocks", torch::nn::ModuleList());
  AddDownBlocks();
  UNetBlockOptions mid = CommonBlockOptions(channels.size() - 1);
  mid.in_channels = channels.back();
  mid_block = register_module("mid_block", UNetMidBlock2DCrossAttn(mid));
  AddUpBlocks();
  conv_norm_out = register_module(
      "conv_norm_out",
      torch::nn::GroupNorm(
          torch::nn::GroupNormOptions(config_.norm_num_groups, channels[0])
              .eps(config_.norm_eps)));
  conv_out = register_module("conv_out",
                             MakeConv3x3(channels[0], config_.out_channels));
  ListCrossAttentionLayers();
}

// What blocks at `resolution` (0: full size) have in common.
UNetBlockOptions UNet2DConditionModelImpl::CommonBlockOptions(
    size_t resolution) const {
  UNetBlockOptions o;
  o.temb_channels = config_.time_embedding_dim;
  o.downsample_padding = config_.downsample_padding;
  o.resnet_groups = config_.norm_num_groups;
  o.resnet_eps = config_.norm_eps;
  o.transformer_layers = config_.transformer_layers_per_block[resolution];
  o.num_attention_heads = config_.num_attention_heads[resolution];
  o.cross_attention_dim = config_.cross_attention_dim;
  o.use_linear_projection = config_.use_linear_projection;
  o.upcast_attention = config_.upcast_attention;
  return o;
}

void UNet2DConditionModelImpl::AddDownBlocks() {
  const std::vector<int64_t>& channels = config_.block_out_channels;
  for (size_t i = 0; i < channels.size(); ++i) {
    UNetBlockOptions o = CommonBlockOptions(i);
    o.in_channels = channels[i == 0 ? 0 : i - 1];
    o.out_channels = channels[i];
    o.num_layers = config_.layers_per_block[i];
    o.add_sampler = i + 1 < channels.size();
    std::shared_ptr<UNetDownBlock> block;
    if (config_.down_block_types[i] == "CrossAttnDownBlock2D") {
      block = std::make_shared<CrossAttnDownBlock2DImpl>(o);
    } else {
      block = std::make_shared<DownBlock2DImpl>(o);
    }
    down_blocks->push_back(block);
    down_blocks_.push_back(std::move(block));
  }
}

void UNet2DConditionModelImpl::AddUpBlocks() {
  const std::vector<int64_t>& channels = config_.block_out_channels;
  const size_t n = channels.size();
  for (size_t i = 0; i < n; ++i) {
    const size_t resolution = n - 1 - i;
    UNetBlockOptions o = CommonBlockOptions(resolution);
    o.in_channels = channels[resolution == 0 ? 0 : resolution - 1];
    o.out_channels = channels[resolution];
    o.prev_output_channels = channels[std::min(resolution + 1, n - 1)];
    o.num_layers = config_.layers_per_block[resolution] + 1;
    o.add_sampler = resolution > 0;
    std::shared_ptr<UNetUpBlock> block;
    if (config_.up_block_types[i] == "CrossAttnUpBlock2D") {
      block = std::make_shared<CrossAttnUpBlock2DImpl>(o);
    } else {
      block = std::make_shared<UpBlock2DImpl>(o);
    }
    up_blocks->push_back(block);
    up_blocks_.push_back(std::move(block));
  }
}

void UNet2DConditionModelImpl::ListCrossAttentionLayers() {
  const auto list = [this](const std::string& block, torch::nn::Module& in) {
    for (const auto& child : in.named_modules(block)) {
      const auto* attention = child.value()->as<AttentionImpl>();
      if (attention == nullptr || !absl::EndsWith(child.key(), ".attn2")) {
        continue;
      }
      cross_attention_layers_.push_back(
          {child.key(), attention->query_dim(), attention->heads()});
    }
  };
  for (size_t i = 0; i < down_blocks_.size(); ++i) {
    list(absl::StrCat("down_blocks.", i), *down_blocks_[i]);
  }
  list("mid_block", *mid_block);
  for (size_t i = 0; i < up_blocks_.size(); ++i) {
    list(absl::StrCat("up_blocks.", i), *up_blocks_[i]);
  }
}

torch::Tensor UNet2DConditionModelImpl::EmbedTime(
    const torch::Tensor& timesteps, int64_t batch) {
  TORCH_CHECK(timesteps.dim() == 1 &&
                  (timesteps.size(0) == 1 || timesteps.size(0) == batch),
              "timesteps ", timesteps.sizes(), " for a batch of ", batch);
  const torch::Tensor& like = conv_in->weight;
  const torch::Tensor sinusoids = GetTimestepEmbedding(
      timesteps.to(like.device()), config_.block_out_channels[0],
      config_.flip_sin_to_cos, config_.freq_shift);
  // All blocks want silu of it: once here.
  return torch::silu(time_embedding(sinusoids.to(like.scalar_type())));
}

torch::Tensor UNet2DConditionModelImpl::RunBlocks(const torch::Tensor& sample,
                                                  const UNetStep& step) {
  torch::Tensor h = conv_in(sample);  // [B, C0, h, w]
  std::vector<torch::Tensor> skips = {h};
  for (const auto& block : down_blocks_) {
    h = block->forward(h, step, skips);
    if (!h.defined()) return {};
  }
  h = mid_block(h, step);
  if (!h.defined()) return {};
  for (const auto& block : up_blocks_) {
    h = block->forward(h, step, skips);
    if (!h.defined()) return {};
  }
  return h;  // [B, C0, h, w]
}

torch::Tensor UNet2DConditionModelImpl::forward(
    const torch::Tensor& sample, const torch::Tensor& timesteps,
    const torch::Tensor& encoder_hidden_states,
    const AttentionObserver* observer) {
  const torch::Tensor& like = conv_in->weight;
  TORCH_CHECK(encoder_hidden_states.dim() == 3 &&
                  encoder_hidden_states.size(2) == config_.cross_attention_dim,
              "text states ", encoder_hidden_states.sizes(),
              ", expected [rows, tokens, ", config_.cross_attention_dim, "]");
  UNetStep step;
  step.temb_act = EmbedTime(timesteps, sample.size(0));
  step.context = encoder_hidden_states.to(like.device(), like.scalar_type());
  std::optional<AttentionProbe> probe;
  if (observer != nullptr) {
    CheckObserver(*observer, encoder_hidden_states.size(1));
    step.probe = &probe.emplace(*observer);
  }
  torch::Tensor h =
      RunBlocks(sample.to(like.device(), like.scalar_type()), step);
  if (!h.defined()) return {};
  h = conv_norm_out(h);
  return conv_out(torch::silu_(h));  // [B, out_channels, h, w]
}

}  // namespace ovdiff::engine
