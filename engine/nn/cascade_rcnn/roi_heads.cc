#include "engine/nn/cascade_rcnn/roi_heads.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"
#include "engine/ops/boxes.h"
#include "engine/ops/roi_align.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr std::array<DeltaWeights, 3> kCascadeWeights = {
    {{10, 10, 5, 5}, {20, 20, 10, 10}, {30, 30, 15, 15}}};
// A box of this side, pixels, is pooled from this level.
constexpr double kCanonicalSide = 224;
constexpr int64_t kCanonicalLevel = 4;
constexpr int64_t kFirstLevel = 2;
// The mask head's maps take 2 MB a box at full size.
constexpr int64_t kMasksAtOnce = 50;

absl::Status CheckFinite(const torch::Tensor& values, const char* what) {
  if (values.isfinite().all().item<bool>()) {
    return absl::OkStatus();
  }
  return absl::InternalError(std::string("the ") + what +
                             " head's values are not finite");
}

// Index into `maps` of each box's level, int64 [K].
torch::Tensor LevelsOf(const torch::Tensor& boxes, int64_t num_maps) {
  const torch::Tensor sides = boxes.narrow(1, 2, 2) - boxes.narrow(1, 0, 2);
  const torch::Tensor side = (sides.select(1, 0) * sides.select(1, 1)).sqrt();
  // The sum keeps a side of 0 finite.
  return ((side / kCanonicalSide + 1e-8).log2() + kCanonicalLevel)
             .floor()
             .clamp(kFirstLevel, kFirstLevel + num_maps - 1)
             .to(torch::kInt64) -
         kFirstLevel;
}

}  // namespace

torch::Tensor PoolBoxes(const std::vector<torch::Tensor>& maps,
                        const torch::Tensor& boxes, int64_t resolution) {
  const torch::Tensor levels =
      LevelsOf(boxes, static_cast<int64_t>(maps.size()));
  torch::Tensor pooled =
      torch::empty({boxes.size(0), maps[0].size(2), resolution, resolution},
                   maps[0].options());
  for (size_t level = 0; level < maps.size(); ++level) {
    const torch::Tensor here =
        torch::nonzero(levels == static_cast<int64_t>(level)).flatten();
    if (here.numel() == 0) {
      continue;
    }
    pooled.index_copy_(
        0, here.to(pooled.device()),
        RoiAlign(maps[level], boxes.index_select(0, here),
                 1.0 / static_cast<double>(kPyramidStrides[level]),
                 resolution));
  }
  return pooled;
}

BoxHeadImpl::BoxHeadImpl(const CascadeRcnnConfig& config) {
  const int64_t cells =
      config.box_pooler_resolution * config.box_pooler_resolution;
  fc1 = register_module(
      "fc1",
      torch::nn::Linear(config.fpn_out_channels * cells, config.box_fc_dim));
  fc2 = register_module(
      "fc2", torch::nn::Linear(config.box_fc_dim, config.box_fc_dim));
}

torch::Tensor BoxHeadImpl::forward(const torch::Tensor& x) {
  return fc2(fc1(x.flatten(1)).relu_()).relu_();
}

BoxPredictorImpl::BoxPredictorImpl(const CascadeRcnnConfig& config) {
  cls_score =
      register_module("cls_score", torch::nn::Linear(config.box_fc_dim, 2));
  bbox_pred =
      register_module("bbox_pred", torch::nn::Linear(config.box_fc_dim, 4));
}

MaskHeadImpl::MaskHeadImpl(const CascadeRcnnConfig& config) {
  const int64_t width = config.mask_conv_dim;
  int64_t in_channels = config.fpn_out_channels;
  for (size_t i = 0; i < mask_fcn.size(); ++i) {
    mask_fcn[i] = register_module(
        "mask_fcn" + std::to_string(i + 1),
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(in_channels, width, 3).padding(1)));
    in_channels = width;
  }
  deconv = register_module(
      "deconv",
      torch::nn::ConvTranspose2d(
          torch::nn::ConvTranspose2dOptions(width, width, 2).stride(2)));
  predictor = register_module("predictor", torch::nn::Conv2d(width, 1, 1));
}

torch::Tensor MaskHeadImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = x;
  for (torch::nn::Conv2d& conv : mask_fcn) {
    h = conv(h).relu_();
  }
  return predictor(deconv(h).relu_()).squeeze(1);
}

CascadeRoiHeadsImpl::CascadeRoiHeadsImpl(const CascadeRcnnConfig& config)
    : config_(config) {
  box_head = register_module("box_head", torch::nn::ModuleList());
  box_predictor = register_module("box_predictor", torch::nn::ModuleList());
  for (size_t stage = 0; stage < kCascadeWeights.size(); ++stage) {
    heads_.emplace_back(config);
    predictors_.emplace_back(config);
    box_head->push_back(heads_.back());
    box_predictor->push_back(predictors_.back());
  }
  mask_head = register_module("mask_head", MaskHead(config));
}

absl::StatusOr<CascadeRoiHeadsImpl::Scored> CascadeRoiHeadsImpl::RunCascade(
    const std::vector<torch::Tensor>& maps, const torch::Tensor& proposals,
    const PictureExtent& extent) {
  Scored result{.boxes = proposals,
                .scores = torch::zeros({proposals.size(0)})};
  for (size_t stage = 0; stage < heads_.size(); ++stage) {
    const torch::Tensor h = heads_[stage](
        PoolBoxes(maps, result.boxes, config_.box_pooler_resolution));
    const torch::Tensor logits = predictors_[stage]->cls_score(h).cpu();
    const torch::Tensor deltas = predictors_[stage]->bbox_pred(h).cpu();
    OVDIFF_RETURN_IF_ERROR(CheckFinite(logits, "box"));
    OVDIFF_RETURN_IF_ERROR(CheckFinite(deltas, "box"));
    result.scores.add_(logits.softmax(1).select(1, 0));
    result.boxes = ClipBoxes(
        DecodeBoxes(deltas, result.boxes, kCascadeWeights[stage]),
        static_cast<double>(extent.width), static_cast<double>(extent.height));
  }
  result.scores.mul_(1.0 / static_cast<double>(heads_.size()));
  return result;
}

absl::StatusOr<torch::Tensor> CascadeRoiHeadsImpl::Masks(
    const std::vector<torch::Tensor>& maps, const torch::Tensor& boxes) {
  const int64_t side = 2 * config_.mask_pooler_resolution;
  torch::Tensor masks =
      torch::empty({boxes.size(0), side, side}, maps[0].options());
  for (int64_t first = 0; first < boxes.size(0); first += kMasksAtOnce) {
    const int64_t count = std::min(kMasksAtOnce, boxes.size(0) - first);
    const torch::Tensor logits = mask_head(PoolBoxes(
        maps, boxes.narrow(0, first, count), config_.mask_pooler_resolution));
    OVDIFF_RETURN_IF_ERROR(CheckFinite(logits, "mask"));
    masks.narrow(0, first, count).copy_(logits.sigmoid());
  }
  return masks;
}

absl::StatusOr<Detections> CascadeRoiHeadsImpl::Detect(
    const std::vector<torch::Tensor>& maps, const torch::Tensor& proposals,
    const PictureExtent& extent, const DetectOptions& options) {
  OVDIFF_ASSIGN_OR_RETURN(const Scored all,
                          RunCascade(maps, proposals, extent));
  const torch::Tensor sure = all.scores > options.score_threshold;
  const torch::Tensor boxes = all.boxes.index({sure});
  const torch::Tensor scores = all.scores.index({sure});
  torch::Tensor kept = SuppressBoxes(boxes, scores, config_.nms_thresh);
  kept = kept.narrow(0, 0, std::min(options.max_detections, kept.size(0)));
  Detections found{.boxes = boxes.index_select(0, kept),
                   .scores = scores.index_select(0, kept),
                   .masks = {}};
  OVDIFF_ASSIGN_OR_RETURN(found.masks, Masks(maps, found.boxes));
  return found;
}

}  // namespace ovdiff::engine
