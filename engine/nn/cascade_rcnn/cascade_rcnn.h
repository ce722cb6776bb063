// CascadeRcnn: Cascade Mask R-CNN on ResNet and FPN, one class of objects: the
// detector of CutLER (Wang et al., "Cut and Learn", CVPR 2023). Names and
// structure are detectron2's GeneralizedRCNN with its cascade configuration
// (networks.md 6.1), so that CutLER's state dict loads.
#ifndef OVDIFF_ENGINE_NN_CASCADE_RCNN_CASCADE_RCNN_H_
#define OVDIFF_ENGINE_NN_CASCADE_RCNN_CASCADE_RCNN_H_

#include "absl/status/statusor.h"
#include "engine/nn/cascade_rcnn/backbone.h"
#include "engine/nn/cascade_rcnn/config.h"
#include "engine/nn/cascade_rcnn/roi_heads.h"
#include "engine/nn/cascade_rcnn/rpn.h"
#include "torch/nn/pimpl.h"
#include "torch/types.h"

namespace ovdiff::engine {

// float32 on one device; boxes are dealt with on the CPU. Thread-compatible; a
// loaded network may run on several threads.
class CascadeRcnnImpl : public torch::nn::Module {
 public:
  explicit CascadeRcnnImpl(const CascadeRcnnConfig& config);

  // Objects in one picture, best first; boxes in the picture's pixels.
  // `picture`: [1, 3, H, W], normalised, of any size; it is padded here. What
  // is held meanwhile grows with its pixels; one picture a call bounds it.
  // kInternal if a value of the network is not finite. Throws what torch
  // throws.
  absl::StatusOr<Detections> Detect(const torch::Tensor& picture,
                                    const DetectOptions& options);

  const CascadeRcnnConfig& config() const { return config_; }

  Fpn backbone{nullptr};
  Rpn proposal_generator{nullptr};
  CascadeRoiHeads roi_heads{nullptr};

 private:
  CascadeRcnnConfig config_;
};
TORCH_MODULE(CascadeRcnn);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CASCADE_RCNN_CASCADE_RCNN_H_
