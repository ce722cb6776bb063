#include "engine/nn/cascade_rcnn/config.h"

#include "engine/base/status_macros.h"
#include "engine/nn/hub_config.h"

namespace ovdiff::engine {
namespace {

// Beyond any such network there is; they keep a damaged file from asking for
// terabytes.
constexpr int64_t kMaxWidth = 4096;
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMaxBoxes = 4000;
constexpr int64_t kMaxSide = 64;
constexpr size_t kMaxRatios = 16;
constexpr size_t kStages = 4;  // res2 to res5
constexpr size_t kLevels = 5;  // p2 to p6

void ReadSizes(HubConfig& json, CascadeRcnnConfig& c) {
  const auto width = [&](const char* key, int64_t otherwise) {
    return json.Int(key, otherwise, 1, kMaxWidth);
  };
  c.stem_out_channels = width("stem_out_channels", c.stem_out_channels);
  c.width_per_group = width("width_per_group", c.width_per_group);
  c.res2_out_channels = width("res2_out_channels", c.res2_out_channels);
  c.fpn_out_channels = width("fpn_out_channels", c.fpn_out_channels);
  c.box_fc_dim = width("box_fc_dim", c.box_fc_dim);
  c.mask_conv_dim = width("mask_conv_dim", c.mask_conv_dim);
  c.stage_blocks = json.Ints("stage_blocks", c.stage_blocks, 1, kMaxBlocks);
  c.box_pooler_resolution =
      json.Int("box_pooler_resolution", c.box_pooler_resolution, 1, kMaxSide);
  c.mask_pooler_resolution =
      json.Int("mask_pooler_resolution", c.mask_pooler_resolution, 1, kMaxSide);
  if (c.stage_blocks.size() != kStages) {
    json.Refuse("stage_blocks", "four numbers, for res2 to res5");
  }
  // The first block of each stage is known by its shortcut.
  if (c.stem_out_channels == c.res2_out_channels) {
    json.Refuse("res2_out_channels", "other than stem_out_channels");
  }
}

void ReadBoxes(HubConfig& json, CascadeRcnnConfig& c) {
  c.anchor_sizes = json.Ints("anchor_sizes", c.anchor_sizes, 1, 8192);
  if (c.anchor_sizes.size() != kLevels) {
    json.Refuse("anchor_sizes", "five numbers, for p2 to p6");
  }
  if (json.Has("aspect_ratios")) {
    c.aspect_ratios = json.Numbers("aspect_ratios");
  }
  bool positive = true;
  for (const double ratio : c.aspect_ratios) {
    positive = positive && ratio >= 0.01 && ratio <= 100;
  }
  if (!positive || c.aspect_ratios.empty() ||
      c.aspect_ratios.size() > kMaxRatios) {
    json.Refuse("aspect_ratios", "1 to 16 numbers from 0.01 to 100");
  }
  c.rpn_pre_nms_topk =
      json.Int("rpn_pre_nms_topk", c.rpn_pre_nms_topk, 1, kMaxBoxes);
  c.rpn_post_nms_topk =
      json.Int("rpn_post_nms_topk", c.rpn_post_nms_topk, 1, kMaxBoxes);
  c.rpn_nms_thresh = json.Number("rpn_nms_thresh", c.rpn_nms_thresh, 0, 1);
  c.nms_thresh = json.Number("nms_thresh", c.nms_thresh, 0, 1);
}

}  // namespace

absl::StatusOr<CascadeRcnnConfig> CascadeRcnnConfig::FromJsonText(
    std::string_view text) {
  OVDIFF_ASSIGN_OR_RETURN(
      HubConfig json,
      HubConfig::Parse(text, "the Cascade Mask R-CNN's config.json"));
  CascadeRcnnConfig config;
  if (json.Has("architecture")) {
    json.OneOf("architecture", "cascade_mask_rcnn", {"cascade_mask_rcnn"});
  } else {
    json.Refuse("architecture", "\"cascade_mask_rcnn\"");
  }
  ReadSizes(json, config);
  ReadBoxes(json, config);
  OVDIFF_RETURN_IF_ERROR(json.status());
  return config;
}

}  // namespace ovdiff::engine
