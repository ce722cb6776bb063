// CascadeRcnnConfig: the sizes of CutLER's detector, Cascade Mask R-CNN on
// ResNet and FPN. No torch.
#ifndef OVDIFF_ENGINE_NN_CASCADE_RCNN_CONFIG_H_
#define OVDIFF_ENGINE_NN_CASCADE_RCNN_CONFIG_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ovdiff::engine {

// Defaults are CutLER's (networks.md 6.1). Names follow detectron2's
// configuration keys.
struct CascadeRcnnConfig {
  int64_t stem_out_channels = 64;
  // Of res2; they double a stage, from res2 to res5.
  int64_t width_per_group = 64;  // the bottlenecks' inner channels
  int64_t res2_out_channels = 256;
  std::vector<int64_t> stage_blocks = {3, 4, 6, 3};  // bottlenecks: ResNet-50
  int64_t fpn_out_channels = 256;
  std::vector<int64_t> anchor_sizes = {32, 64, 128, 256, 512};  // p2 to p6
  std::vector<double> aspect_ratios = {0.5, 1.0, 2.0};          // h / w
  int64_t rpn_pre_nms_topk = 1000;                              // a level
  int64_t rpn_post_nms_topk = 1000;  // of all levels: what the heads see
  double rpn_nms_thresh = 0.65;
  int64_t box_pooler_resolution = 7;
  int64_t box_fc_dim = 1024;
  int64_t mask_pooler_resolution = 14;  // masks have twice that side
  int64_t mask_conv_dim = 256;
  double nms_thresh = 0.5;  // of detections

  // {"architecture": "cascade_mask_rcnn", …} with the fields above, all but the
  // first optional. Unknown keys are ignored; a value beyond what is
  // implemented is refused with kFailedPrecondition naming key, value and what
  // is allowed.
  static absl::StatusOr<CascadeRcnnConfig> FromJsonText(std::string_view text);
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_CASCADE_RCNN_CONFIG_H_
