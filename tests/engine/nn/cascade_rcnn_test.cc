// The detector's configuration and what it does with bad weights. What it finds
// is checked in tests/parity/cutler.
#include "engine/nn/cascade_rcnn/cascade_rcnn.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const char* text) {
  const absl::Status status = CascadeRcnnConfig::FromJsonText(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  return std::string(status.message());
}

TEST(CascadeRcnnConfig, AbsentNumbersAreCutlers) {
  const auto config = CascadeRcnnConfig::FromJsonText(
      R"({"architecture": "cascade_mask_rcnn", "box_fc_dim": 8})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->box_fc_dim, 8);
  EXPECT_THAT(config->stage_blocks, ElementsAre(3, 4, 6, 3));
  EXPECT_EQ(config->res2_out_channels, 256);
  EXPECT_EQ(config->rpn_nms_thresh, 0.65);
  EXPECT_EQ(config->mask_pooler_resolution, 14);
}

TEST(CascadeRcnnConfig, RefusalsNameKeyValueAndWhatIsAllowed) {
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("cascade_mask_rcnn"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "vit_dino"})"),
              AllOf(HasSubstr("architecture"), HasSubstr("vit_dino"),
                    HasSubstr("cascade_mask_rcnn")));
  const auto with = [](const std::string& field) {
    return ErrorOf(
        (R"({"architecture": "cascade_mask_rcnn", )" + field + "}").c_str());
  };
  EXPECT_THAT(with(R"("stage_blocks": [3, 4, 23])"),
              AllOf(HasSubstr("stage_blocks"), HasSubstr("res2 to res5")));
  EXPECT_THAT(with(R"("anchor_sizes": [32])"), HasSubstr("p2 to p6"));
  EXPECT_THAT(with(R"("aspect_ratios": [0.5, -1.0])"),
              HasSubstr("0.01 to 100"));
  EXPECT_THAT(with(R"("aspect_ratios": [])"), HasSubstr("0.01 to 100"));
  EXPECT_THAT(with(R"("rpn_pre_nms_topk": 0)"), HasSubstr("rpn_pre_nms_topk"));
  EXPECT_THAT(with(R"("rpn_post_nms_topk": 1000000)"),
              HasSubstr("rpn_post_nms_topk"));
  EXPECT_THAT(with(R"("nms_thresh": 1.5)"), HasSubstr("nms_thresh"));
  EXPECT_THAT(with(R"("fpn_out_channels": 1000000)"),
              HasSubstr("fpn_out_channels"));
  EXPECT_THAT(with(R"("res2_out_channels": 64)"),
              HasSubstr("stem_out_channels"));
}

CascadeRcnn TinyNetwork() {
  torch::manual_seed(3);
  CascadeRcnnConfig config;
  config.stem_out_channels = 4;
  config.width_per_group = 4;
  config.res2_out_channels = 8;
  config.stage_blocks = {1, 1, 1, 1};
  config.fpn_out_channels = 6;
  config.rpn_pre_nms_topk = 30;
  config.rpn_post_nms_topk = 20;
  config.box_pooler_resolution = 2;
  config.box_fc_dim = 8;
  config.mask_pooler_resolution = 3;
  config.mask_conv_dim = 5;
  CascadeRcnn network(config);
  network->eval();
  return network;
}

TEST(CascadeRcnn, PicturesOfAnySizeAndNeighboursDoNotMatter) {
  torch::InferenceMode inference;
  CascadeRcnn network = TinyNetwork();
  for (const auto& [height, width] :
       {std::pair{1, 1}, std::pair{33, 7}, std::pair{64, 96}}) {
    const torch::Tensor picture = torch::rand({1, 3, height, width});
    const auto found = network->Detect(picture, {});
    ASSERT_TRUE(found.ok()) << found.status();
    const int64_t count = found->scores.size(0);
    EXPECT_LE(count, 20);
    EXPECT_EQ(found->boxes.sizes(), (std::vector<int64_t>{count, 4}));
    EXPECT_EQ(found->masks.sizes(), (std::vector<int64_t>{count, 6, 6}));
    if (count > 0) {
      EXPECT_GE(found->boxes.min().item<float>(), 0);
      EXPECT_LE(found->boxes.select(1, 2).max().item<float>(), width);
      EXPECT_LE(found->boxes.select(1, 3).max().item<float>(), height);
      EXPECT_GE(found->masks.min().item<float>(), 0);
      EXPECT_LE(found->masks.max().item<float>(), 1);
    }
    const auto again = network->Detect(picture, {});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(torch::equal(found->masks, again->masks));
  }
  EXPECT_ANY_THROW((void)network->Detect(torch::rand({2, 3, 32, 32}), {}));
}

TEST(CascadeRcnn, NothingAboveTheThresholdIsNoDetection) {
  torch::InferenceMode inference;
  CascadeRcnn network = TinyNetwork();
  const auto found =
      network->Detect(torch::rand({1, 3, 40, 50}), {.score_threshold = 1});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->boxes.sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(found->scores.sizes(), (std::vector<int64_t>{0}));
  EXPECT_EQ(found->masks.sizes(), (std::vector<int64_t>{0, 6, 6}));
}

TEST(CascadeRcnn, ValuesThatAreNotFiniteAreAnError) {
  torch::InferenceMode inference;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto error_of = [&](auto&& weights_of) {
    CascadeRcnn network = TinyNetwork();
    weights_of(network).fill_(nan);
    const absl::Status status =
        network->Detect(torch::rand({1, 3, 40, 50}), {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(error_of([](CascadeRcnn& network) {
                return network->backbone->bottom_up->stem->conv1->weight;
              }),
              HasSubstr("proposal network"));
  EXPECT_THAT(error_of([](CascadeRcnn& network) {
                return network->roi_heads->box_predictor[2]
                    ->as<BoxPredictor>()
                    ->bbox_pred->bias;
              }),
              HasSubstr("box head"));
  EXPECT_THAT(error_of([](CascadeRcnn& network) {
                return network->roi_heads->mask_head->predictor->bias;
              }),
              HasSubstr("mask head"));
}

// One cell a level holds a number of its own, so the value says the level.
TEST(PoolBoxes, LevelsFollowTheBoxesArea) {
  std::vector<torch::Tensor> maps;
  for (int level = 2; level <= 5; ++level) {
    maps.push_back(torch::full({512 >> level, 512 >> level, 1},
                               static_cast<double>(level)));
  }
  const torch::Tensor boxes = torch::tensor({0.0F,  0.0F, 111.0F, 111.0F,  //
                                             0.0F,  0.0F, 112.0F, 112.0F,  //
                                             0.0F,  0.0F, 224.0F, 223.0F,  //
                                             10.0F, 0.0F, 234.0F, 224.0F,  //
                                             0.0F,  0.0F, 448.0F, 448.0F,  //
                                             8.0F,  8.0F, 8.5F,   8.5F,    //
                                             0.0F,  0.0F, 512.0F, 28.0F})
                                  .view({7, 4});
  const torch::Tensor pooled = PoolBoxes(maps, boxes, 1).flatten();
  const float levels[] = {2, 3, 3, 4, 5, 2, 3};
  for (int i = 0; i < 7; ++i) {
    EXPECT_NEAR(pooled[i].item<float>(), levels[i], 1e-4) << i;
  }
}

}  // namespace
}  // namespace ovdiff::engine
