// The region proposal network: which boxes of a picture may hold an object (Ren
// et al. 2015; detectron2's modeling/proposal_generator/rpn.py; networks.md
// 6.1).
#ifndef OVDIFF_ENGINE_NN_CASCADE_RCNN_RPN_H_
#define OVDIFF_ENGINE_NN_CASCADE_RCNN_RPN_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/nn/cascade_rcnn/backbone.h"
#include "engine/nn/cascade_rcnn/config.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// A picture's size within the padded input, pixels.
struct PictureExtent {
  int64_t height = 0;
  int64_t width = 0;
};

class RpnHeadImpl : public torch::nn::Module {
 public:
  explicit RpnHeadImpl(const CascadeRcnnConfig& config);

  struct Output {
    torch::Tensor logits;  // [H * W * A], order (y, x, ratio)
    torch::Tensor deltas;  // [H * W * A, 4]
  };
  // x: [1, C, H, W]. The output is on the CPU.
  Output forward(const torch::Tensor& x);

  torch::nn::Conv2d conv{nullptr};
  torch::nn::Conv2d objectness_logits{nullptr};
  torch::nn::Conv2d anchor_deltas{nullptr};
};
TORCH_MODULE(RpnHead);

class RpnImpl : public torch::nn::Module {
 public:
  explicit RpnImpl(const CascadeRcnnConfig& config);

  // At most rpn_post_nms_topk boxes within the picture (engine/ops/boxes.h),
  // best first. kInternal if the head's values are not finite.
  absl::StatusOr<torch::Tensor> Propose(const FeaturePyramid& pyramid,
                                        const PictureExtent& extent);

  RpnHead rpn_head{nullptr};

 private:
  struct Candidates {
    torch::Tensor boxes;   // [K, 4]
    torch::Tensor scores;  // [K]
  };
  absl::StatusOr<Candidates> LevelCandidates(const torch::Tensor& features,
                                             size_t level,
                                             const PictureExtent& extent);

  CascadeRcnnConfig config_;
};
TORCH_MODULE(Rpn);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CASCADE_RCNN_RPN_H_
