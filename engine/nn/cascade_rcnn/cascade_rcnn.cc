#include "engine/nn/cascade_rcnn/cascade_rcnn.h"

#include <utility>
#include <vector>

#include "engine/base/status_macros.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// Zeros at the right and below, so that every level's cells fit.
torch::Tensor PadToMultiple(const torch::Tensor& picture) {
  const auto missing = [](int64_t side) {
    return (kPyramidMultiple - side % kPyramidMultiple) % kPyramidMultiple;
  };
  return torch::constant_pad_nd(
      picture, {0, missing(picture.size(3)), 0, missing(picture.size(2))});
}

}  // namespace

CascadeRcnnImpl::CascadeRcnnImpl(const CascadeRcnnConfig& config)
    : config_(config) {
  backbone = register_module("backbone", Fpn(config));
  proposal_generator = register_module("proposal_generator", Rpn(config));
  roi_heads = register_module("roi_heads", CascadeRoiHeads(config));
}

absl::StatusOr<Detections> CascadeRcnnImpl::Detect(
    const torch::Tensor& picture, const DetectOptions& options) {
  TORCH_CHECK(picture.dim() == 4 && picture.size(0) == 1,
              "the detector takes one picture, found ", picture.sizes());
  const PictureExtent extent{picture.size(2), picture.size(3)};
  FeaturePyramid pyramid = backbone(PadToMultiple(picture));
  OVDIFF_ASSIGN_OR_RETURN(const torch::Tensor proposals,
                          proposal_generator->Propose(pyramid, extent));
  // The heads read all channels of a cell at once, and p2 to p5 only.
  std::vector<torch::Tensor> maps;
  for (size_t level = 0; level + 1 < pyramid.size(); ++level) {
    maps.push_back(pyramid[level][0].permute({1, 2, 0}).contiguous());
    pyramid[level].reset();
  }
  return roi_heads->Detect(maps, proposals, extent, options);
}

}  // namespace ovdiff::engine
