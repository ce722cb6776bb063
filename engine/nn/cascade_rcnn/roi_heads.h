// The heads over proposals: three box heads in a cascade, each refining the
// boxes of the one before, and a mask head (Cai & Vasconcelos 2018;
// detectron2's
// modeling/roi_heads/{cascade_rcnn,box_head,fast_rcnn,mask_head}.py;
// networks.md 6.1). One class: object or not.
#ifndef OVDIFF_ENGINE_NN_CASCADE_RCNN_ROI_HEADS_H_
#define OVDIFF_ENGINE_NN_CASCADE_RCNN_ROI_HEADS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/nn/cascade_rcnn/backbone.h"
#include "engine/nn/cascade_rcnn/config.h"
#include "engine/nn/cascade_rcnn/rpn.h"
#include "torch/nn/modules/container/modulelist.h"
#include "torch/nn/modules/conv.h"
#include "torch/nn/modules/linear.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Which detections are wanted.
struct DetectOptions {
  double score_threshold = 0;  // scores are above it
  int64_t max_detections = 100;
};

// What was found, best first; M may be 0.
struct Detections {
  torch::Tensor boxes;   // [M, 4], engine/ops/boxes.h
  torch::Tensor scores;  // float32 [M] on the CPU, 0…1
  // float32 [M, s, s] on the network's device, 0…1: how surely each part of the
  // box is the object; s is twice mask_pooler_resolution.
  torch::Tensor masks;
};

class BoxHeadImpl : public torch::nn::Module {
 public:
  explicit BoxHeadImpl(const CascadeRcnnConfig& config);
  torch::Tensor forward(const torch::Tensor& x);  // [K, C, s, s] -> [K, D]

  torch::nn::Linear fc1{nullptr};  // columns: channel, then row, then column
  torch::nn::Linear fc2{nullptr};
};
TORCH_MODULE(BoxHead);

class BoxPredictorImpl : public torch::nn::Module {
 public:
  explicit BoxPredictorImpl(const CascadeRcnnConfig& config);

  torch::nn::Linear cls_score{nullptr};  // object, background
  torch::nn::Linear bbox_pred{nullptr};
};
TORCH_MODULE(BoxPredictor);

class MaskHeadImpl : public torch::nn::Module {
 public:
  explicit MaskHeadImpl(const CascadeRcnnConfig& config);
  // [K, C, s, s] -> logits [K, 2s, 2s]
  torch::Tensor forward(const torch::Tensor& x);

  std::array<torch::nn::Conv2d, 4> mask_fcn{nullptr, nullptr, nullptr, nullptr};
  torch::nn::ConvTranspose2d deconv{nullptr};
  torch::nn::Conv2d predictor{nullptr};
};
TORCH_MODULE(MaskHead);

class CascadeRoiHeadsImpl : public torch::nn::Module {
 public:
  explicit CascadeRoiHeadsImpl(const CascadeRcnnConfig& config);

  // `maps`: p2 to p5 as [H, W, C], contiguous. `proposals`: as RpnImpl::
  // Propose() gives them. kInternal if a head's values are not finite.
  absl::StatusOr<Detections> Detect(const std::vector<torch::Tensor>& maps,
                                    const torch::Tensor& proposals,
                                    const PictureExtent& extent,
                                    const DetectOptions& options);

  torch::nn::ModuleList box_head{nullptr};       // 3
  torch::nn::ModuleList box_predictor{nullptr};  // 3
  MaskHead mask_head{nullptr};

 private:
  struct Scored {
    torch::Tensor boxes;   // [K, 4]
    torch::Tensor scores;  // [K]
  };
  absl::StatusOr<Scored> RunCascade(const std::vector<torch::Tensor>& maps,
                                    const torch::Tensor& proposals,
                                    const PictureExtent& extent);
  // [M, s, s], as Detections::masks.
  absl::StatusOr<torch::Tensor> Masks(const std::vector<torch::Tensor>& maps,
                                      const torch::Tensor& boxes);

  CascadeRcnnConfig config_;
  std::vector<BoxHead> heads_;
  std::vector<BoxPredictor> predictors_;
};
TORCH_MODULE(CascadeRoiHeads);

// Features of boxes, each from the level that suits its size (Lin et al. 2016,
// equation 1): [K, C, resolution, resolution]. `maps`: as Detect()'s.
torch::Tensor PoolBoxes(const std::vector<torch::Tensor>& maps,
                        const torch::Tensor& boxes, int64_t resolution);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CASCADE_RCNN_ROI_HEADS_H_
