// UNet2DConditionModel against diffusers 0.42 on goldens of make_goldens.py.
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "engine/nn/feature_map.h"
#include "engine/nn/unet_2d_condition.h"
#include "tests/parity/diffusers/goldens.h"

namespace ovdiff::engine {
namespace {

constexpr double kRelative = 1e-4;

UNet2DConditionModel LoadUnet(const std::string& folder) {
  const auto config =
      UNet2DConditionConfig::FromJsonText(ReadText(folder + "/config.json"));
  EXPECT_TRUE(config.ok()) << config.status();
  UNet2DConditionModel unet(*config);
  const auto weights = ReadHubWeights(folder, "diffusion_pytorch_model");
  EXPECT_TRUE(weights.ok()) << weights.status();
  LoadStateDictOptions options;
  options.what = "unet";
  const absl::Status loaded = LoadStateDict(*unet, *weights, options);
  EXPECT_TRUE(loaded.ok()) << loaded;
  return unet;
}

// Folder of goldens, and whether maps are channels_last.
class UnetParity
    : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
    const std::string folder =
        DiffusersGolden("goldens/" + std::get<0>(GetParam()));
    unet_ = LoadUnet(folder);
    if (std::get<1>(GetParam())) UseChannelsLast(*unet_);
    io_ = ReadTensors(folder + "/io.safetensors");
    layer_names_ = ReadLines(folder + "/cross_attention_layers.txt");
  }

  torch::Tensor Run(const AttentionObserver* observer = nullptr) {
    return unet_(io_.at("sample"), io_.at("timesteps"), io_.at("text"),
                 observer);
  }

  AttentionObserver ProbabilityObserver() {
    AttentionObserver observer;
    const torch::Tensor columns = io_.at("token_columns");
    for (int64_t i = 0; i < columns.numel(); ++i) {
      observer.token_columns.push_back(columns[i].item<int64_t>());
    }
    observer.first_row = io_.at("sample").size(0) / 2;
    observer.on_probabilities = [this](const CrossAttentionProbabilities& p) {
      probabilities_[p.layer] = p;
    };
    for (size_t i = 0; i < layer_names_.size(); ++i) {
      observer.probability_layers.insert(static_cast<int64_t>(i));
    }
    return observer;
  }

  AttentionObserver QueryObserver(std::set<int64_t> layers) {
    AttentionObserver observer;
    observer.query_layers = std::move(layers);
    observer.on_queries = [this](const CrossAttentionQueries& q) {
      queries_[q.layer] = q;
    };
    return observer;
  }

  std::set<int64_t> AllLayers() const {
    std::set<int64_t> layers;
    for (size_t i = 0; i < layer_names_.size(); ++i) {
      layers.insert(static_cast<int64_t>(i));
    }
    return layers;
  }

  torch::InferenceMode inference_;
  UNet2DConditionModel unet_{nullptr};
  StateDict io_;
  std::vector<std::string> layer_names_;
  std::map<int64_t, CrossAttentionProbabilities> probabilities_;
  std::map<int64_t, CrossAttentionQueries> queries_;
};

TEST_P(UnetParity, Output) {
  EXPECT_LT(RelativeError(Run(), io_.at("output")), kRelative);
}

TEST_P(UnetParity, CrossAttentionLayersAreInExecutionOrder) {
  const auto& layers = unet_->cross_attention_layers();
  ASSERT_EQ(layers.size(), layer_names_.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].name, layer_names_[i]);
    const torch::Tensor& queries = io_.at(absl::StrCat("queries.", i));
    EXPECT_EQ(layers[i].channels, queries.size(2));
    EXPECT_EQ(layers[i].heads,
              io_.at(absl::StrCat("probabilities.", i)).size(1));
  }
}

TEST_P(UnetParity, ProbabilitiesOfTheConditionalHalf) {
  const AttentionObserver observer = ProbabilityObserver();
  EXPECT_LT(RelativeError(Run(&observer), io_.at("output")), kRelative);
  ASSERT_EQ(probabilities_.size(), layer_names_.size());
  for (const auto& [layer, p] : probabilities_) {
    EXPECT_LT(
        RelativeError(p.values, io_.at(absl::StrCat("probabilities.", layer))),
        kRelative)
        << layer_names_[static_cast<size_t>(layer)];
    EXPECT_EQ(p.height * p.width, p.values.size(2));
  }
}

TEST_P(UnetParity, ObservedOutputIsTheUnobservedOne) {
  const AttentionObserver observer = ProbabilityObserver();
  EXPECT_LT(RelativeError(Run(&observer), Run()), 1e-5);
}

TEST_P(UnetParity, Queries) {
  const AttentionObserver observer = QueryObserver(AllLayers());
  ASSERT_TRUE(Run(&observer).defined());
  ASSERT_EQ(queries_.size(), layer_names_.size());
  for (const auto& [layer, q] : queries_) {
    EXPECT_LT(RelativeError(q.values, io_.at(absl::StrCat("queries.", layer))),
              kRelative)
        << layer_names_[static_cast<size_t>(layer)];
    EXPECT_EQ(q.height * q.width, q.values.size(1));
  }
}

TEST_P(UnetParity, StopsAfterTheLastLayerAskedFor) {
  const std::set<int64_t> all = AllLayers();
  for (int64_t last : all) {
    queries_.clear();
    AttentionObserver observer = QueryObserver(all);
    observer.last_layer = last;
    EXPECT_FALSE(Run(&observer).defined());
    ASSERT_EQ(static_cast<int64_t>(queries_.size()), last + 1);
    EXPECT_LT(RelativeError(queries_.at(last).values,
                            io_.at(absl::StrCat("queries.", last))),
              kRelative);
  }
}

TEST_P(UnetParity, StopsOnlyAfterTheLastProbabilities) {
  AttentionObserver observer = ProbabilityObserver();
  observer.last_layer = 2;
  EXPECT_FALSE(Run(&observer).defined());
  EXPECT_EQ(probabilities_.size(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Diffusers, UnetParity,
                         ::testing::Combine(::testing::Values("unet_conv",
                                                              "unet_linear"),
                                            ::testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param) +
                                  (std::get<1>(test.param) ? "_channels_last"
                                                           : "_contiguous");
                         });

// Rows under one prompt may share its text row; unet_linear's goldens were made
// with repeated ones.
TEST(UnetSharedText, EqualsRepeatedText) {
  torch::InferenceMode inference;
  const std::string folder = DiffusersGolden("goldens/unet_linear");
  UNet2DConditionModel unet = LoadUnet(folder);
  const StateDict io = ReadTensors(folder + "/io.safetensors");
  const torch::Tensor text = io.at("text").slice(0, 0, 4, 2);  // 2 of 4 rows
  std::vector<torch::Tensor> probabilities;
  AttentionObserver observer;
  observer.token_columns = {3, 1};
  observer.first_row = 2;
  observer.probability_layers = {0, 5};
  observer.on_probabilities = [&](const CrossAttentionProbabilities& p) {
    probabilities.push_back(p.values);
  };
  const torch::Tensor output =
      unet(io.at("sample"), io.at("timesteps"), text, &observer);
  EXPECT_LT(RelativeError(output, io.at("output")), kRelative);
  ASSERT_EQ(probabilities.size(), 2u);
  EXPECT_LT(RelativeError(probabilities[0], io.at("probabilities.0")),
            kRelative);
  EXPECT_LT(RelativeError(probabilities[1], io.at("probabilities.5")),
            kRelative);
}

TEST(UnetDemoBundle, Output) {
  torch::InferenceMode inference;
  UNet2DConditionModel unet =
      LoadUnet(std::string(OVDIFF_SOURCE_DIR) +
               "/deploy/bundles/demo/stable-diffusion/unet");
  const StateDict io =
      ReadTensors(DiffusersGolden("goldens/demo_io.safetensors"));
  EXPECT_LT(
      RelativeError(unet(io.at("sample"), io.at("timesteps"), io.at("text")),
                    io.at("output")),
      kRelative);
}

}  // namespace
}  // namespace ovdiff::engine
