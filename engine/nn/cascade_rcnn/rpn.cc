#include "engine/nn/cascade_rcnn/rpn.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"
#include "engine/ops/anchors.h"
#include "engine/ops/boxes.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr DeltaWeights kRpnWeights = {1, 1, 1, 1};

// Indices by descending score, the lower index first among equals.
torch::Tensor BestFirst(const torch::Tensor& scores, int64_t most) {
  return std::get<1>(torch::sort(scores, /*stable=*/true, /*dim=*/0,
                                 /*descending=*/true))
      .narrow(0, 0, std::min(most, scores.size(0)));
}

}  // namespace

RpnHeadImpl::RpnHeadImpl(const CascadeRcnnConfig& config) {
  const int64_t channels = config.fpn_out_channels;
  const auto ratios = static_cast<int64_t>(config.aspect_ratios.size());
  conv = register_module(
      "conv", torch::nn::Conv2d(
                  torch::nn::Conv2dOptions(channels, channels, 3).padding(1)));
  objectness_logits = register_module("objectness_logits",
                                      torch::nn::Conv2d(channels, ratios, 1));
  anchor_deltas = register_module("anchor_deltas",
                                  torch::nn::Conv2d(channels, 4 * ratios, 1));
}

RpnHeadImpl::Output RpnHeadImpl::forward(const torch::Tensor& x) {
  const torch::Tensor h = conv(x).relu_();
  const torch::Tensor logits = objectness_logits(h)[0];  // [A, H, W]
  const torch::Tensor deltas =
      anchor_deltas(h)[0].unflatten(0, {-1, 4});  // [A, 4, H, W]
  return {logits.permute({1, 2, 0}).flatten().cpu(),
          deltas.permute({2, 3, 0, 1}).reshape({-1, 4}).cpu()};
}

RpnImpl::RpnImpl(const CascadeRcnnConfig& config) : config_(config) {
  rpn_head = register_module("rpn_head", RpnHead(config));
}

absl::StatusOr<RpnImpl::Candidates> RpnImpl::LevelCandidates(
    const torch::Tensor& features, size_t level, const PictureExtent& extent) {
  const RpnHeadImpl::Output output = rpn_head(features);
  if (!output.logits.isfinite().all().item<bool>() ||
      !output.deltas.isfinite().all().item<bool>()) {
    return absl::InternalError("the proposal network's values are not finite");
  }
  const torch::Tensor best = BestFirst(output.logits, config_.rpn_pre_nms_topk);
  const torch::Tensor anchors = GridAnchors(
      features.size(2), features.size(3), kPyramidStrides[level],
      static_cast<double>(config_.anchor_sizes[level]), config_.aspect_ratios);
  torch::Tensor boxes = ClipBoxes(
      DecodeBoxes(output.deltas.index_select(0, best),
                  anchors.index_select(0, best), kRpnWeights),
      static_cast<double>(extent.width), static_cast<double>(extent.height));
  torch::Tensor scores = output.logits.index_select(0, best);
  const torch::Tensor inside = NonEmptyBoxes(boxes);
  boxes = boxes.index({inside});
  scores = scores.index({inside});
  const torch::Tensor kept =
      SuppressBoxes(boxes, scores, config_.rpn_nms_thresh);
  return Candidates{boxes.index_select(0, kept), scores.index_select(0, kept)};
}

absl::StatusOr<torch::Tensor> RpnImpl::Propose(const FeaturePyramid& pyramid,
                                               const PictureExtent& extent) {
  std::vector<torch::Tensor> boxes;
  std::vector<torch::Tensor> scores;
  for (size_t level = 0; level < pyramid.size(); ++level) {
    OVDIFF_ASSIGN_OR_RETURN(const Candidates candidates,
                            LevelCandidates(pyramid[level], level, extent));
    boxes.push_back(candidates.boxes);
    scores.push_back(candidates.scores);
  }
  const torch::Tensor best =
      BestFirst(torch::cat(scores), config_.rpn_post_nms_topk);
  return torch::cat(boxes).index_select(0, best);
}

}  // namespace ovdiff::engine
