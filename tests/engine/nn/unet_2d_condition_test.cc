// UNet2DConditionModel on a tiny config: what goldens do not show.
#include "engine/nn/unet_2d_condition.h"

#include <optional>
#include <utility>
#include <vector>

#include "engine/nn/feature_map.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

UNet2DConditionConfig TinyConfig() {
  UNet2DConditionConfig config;
  config.block_out_channels = {8, 16};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.layers_per_block = {1, 1};
  config.transformer_layers_per_block = {1, 1};
  config.num_attention_heads = {2, 2};
  config.norm_num_groups = 4;
  config.cross_attention_dim = 6;
  config.time_embedding_dim = 32;
  return config;
}

class TinyUnet : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(5);
    unet_ = UNet2DConditionModel(TinyConfig());
    unet_->eval();
    sample_ = torch::randn({2, 4, 9, 5});
    text_ = torch::randn({2, 7, 6});
    inference_.emplace();
  }

  std::optional<torch::InferenceMode> inference_;
  UNet2DConditionModel unet_{nullptr};
  torch::Tensor sample_;
  torch::Tensor text_;
  torch::Tensor timesteps_ = torch::tensor({10});
};

TEST_F(TinyUnet, RowsDoNotSeeEachOther) {
  const torch::Tensor both = unet_(sample_, timesteps_, text_);
  for (int64_t i : {0, 1}) {
    const torch::Tensor alone =
        unet_(sample_.slice(0, i, i + 1), timesteps_, text_.slice(0, i, i + 1));
    EXPECT_TRUE(torch::allclose(both[i], alone[0], 1e-5, 1e-6));
  }
}

TEST_F(TinyUnet, OneTimestepPerRowOrOneForAll) {
  EXPECT_TRUE(torch::allclose(unet_(sample_, timesteps_, text_),
                              unet_(sample_, torch::tensor({10., 10.}), text_),
                              1e-5, 1e-6));
  EXPECT_THROW(unet_(sample_, torch::tensor({1, 2, 3}), text_), c10::Error);
}

TEST_F(TinyUnet, KeepsTheSizeOfAnyLatent) {
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {2, 3}, {7, 8}, {16, 16}}) {
    const torch::Tensor out =
        unet_(torch::randn({1, 4, h, w}), timesteps_, text_.slice(0, 0, 1));
    EXPECT_EQ(out.sizes(), torch::IntArrayRef({1, 4, h, w}));
    EXPECT_TRUE(torch::isfinite(out).all().item<bool>());
  }
}

TEST_F(TinyUnet, RunsInTheTypeOfItsWeights) {
  const torch::Tensor expected = unet_(sample_, timesteps_, text_);
  inference_.reset();
  unet_->to(torch::kBFloat16);
  inference_.emplace();
  const torch::Tensor out = unet_(sample_, timesteps_, text_);
  EXPECT_EQ(out.scalar_type(), torch::kBFloat16);
  EXPECT_LT((out.to(torch::kFloat32) - expected).abs().max().item<double>(),
            0.05 * expected.abs().max().item<double>());
}

TEST_F(TinyUnet, RefusesTextOfAnotherWidthOrRowCount) {
  EXPECT_THROW(unet_(sample_, timesteps_, torch::randn({2, 7, 5})), c10::Error);
  EXPECT_THROW(unet_(sample_, timesteps_, torch::randn({3, 7, 6})), c10::Error);
}

TEST_F(TinyUnet, RefusesObserversThatCannotBeServed) {
  AttentionObserver observer;
  observer.probability_layers = {0};
  observer.token_columns = {6};
  EXPECT_THROW(unet_(sample_, timesteps_, text_, &observer), c10::Error)
      << "no callback";
  observer.on_probabilities = [](const CrossAttentionProbabilities&) {};
  EXPECT_NO_THROW(unet_(sample_, timesteps_, text_, &observer));
  observer.token_columns = {7};
  EXPECT_THROW(unet_(sample_, timesteps_, text_, &observer), c10::Error)
      << "seven tokens";
  observer.token_columns = {0};
  observer.first_row = 2;
  EXPECT_THROW(unet_(sample_, timesteps_, text_, &observer), c10::Error)
      << "two rows";
  observer.first_row = 1;
  EXPECT_THROW(unet_(sample_, timesteps_, text_.slice(0, 0, 1), &observer),
               c10::Error)
      << "rows share a text";
}

TEST_F(TinyUnet, ProbabilitiesOfAllTokensSumToOne) {
  AttentionObserver observer;
  observer.probability_layers = {0, 1, 2, 3};
  observer.token_columns = {0, 1, 2, 3, 4, 5, 6};
  int seen = 0;
  observer.on_probabilities = [&](const CrossAttentionProbabilities& p) {
    ++seen;
    EXPECT_EQ(p.values.scalar_type(), torch::kFloat32);
    EXPECT_EQ(p.values.sizes(),
              torch::IntArrayRef({2, 2, p.height * p.width, 7}));
    EXPECT_TRUE(torch::allclose(p.values.sum(-1),
                                torch::ones({2, 2, p.height * p.width})));
  };
  unet_(sample_, timesteps_, text_, &observer);
  EXPECT_EQ(seen, 4);  // down 1, middle 1, up 2
}

TEST_F(TinyUnet, SelfAttentionOfSmallMapsIsReported) {
  const torch::Tensor expected = unet_(sample_, timesteps_, text_);
  const int64_t all = sample_.size(2) * sample_.size(3);
  AttentionObserver observer;
  observer.max_self_attention_cells = all;
  EXPECT_THROW(unet_(sample_, timesteps_, text_, &observer), c10::Error)
      << "no callback";
  observer.first_row = 1;
  std::vector<int64_t> cells;
  observer.on_self_attention = [&](const SelfAttentionProbabilities& p) {
    cells.push_back(p.height * p.width);
    EXPECT_EQ(p.values.scalar_type(), torch::kFloat32);
    EXPECT_EQ(p.values.sizes(),
              torch::IntArrayRef({1, cells.back(), cells.back()}));
    EXPECT_TRUE(
        torch::allclose(p.values.sum(-1), torch::ones({1, cells.back()})));
  };
  EXPECT_TRUE(torch::allclose(unet_(sample_, timesteps_, text_, &observer),
                              expected, 1e-4, 1e-5));
  ASSERT_EQ(cells.size(), 4u);  // As cross-attention: one a block.
  EXPECT_EQ(cells.front(), all);
  cells.clear();
  observer.max_self_attention_cells = all - 1;
  unet_(sample_, timesteps_, text_, &observer);
  EXPECT_LT(cells.size(), 4u);
}

TEST_F(TinyUnet, ChannelsLastKeepsValuesAndNames) {
  const torch::Tensor expected = unet_(sample_, timesteps_, text_);
  const auto names = unet_->named_parameters().keys();
  UseChannelsLast(*unet_);
  EXPECT_EQ(unet_->named_parameters().keys(), names);
  EXPECT_TRUE(
      unet_->conv_in->weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(
      torch::allclose(unet_(sample_, timesteps_, text_), expected, 1e-4, 1e-5));
}

}  // namespace
}  // namespace ovdiff::engine
