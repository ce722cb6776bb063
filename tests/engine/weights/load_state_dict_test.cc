#include "engine/weights/load_state_dict.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Two parameters, one of them a 1x1 convolution, and a buffer.
class SmallNetImpl : public torch::nn::Module {
 public:
  SmallNetImpl() {
    fc = register_module("fc", torch::nn::Linear(3, 2));
    conv = register_module(
        "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 1)));
    mean = register_buffer("mean", torch::zeros({2}));
  }
  torch::nn::Linear fc{nullptr};
  torch::nn::Conv2d conv{nullptr};
  torch::Tensor mean;
};
TORCH_MODULE(SmallNet);

StateDict Weights() {
  return {{"fc.weight", torch::randn({2, 3})},
          {"fc.bias", torch::randn({2})},
          {"conv.weight", torch::randn({4, 2, 1, 1})},
          {"conv.bias", torch::randn({4})},
          {"mean", torch::randn({2})}};
}

LoadStateDictOptions Options() {
  return {.what = "small net", .ignore_unexpected = {}, .ignore_missing = {}};
}

TEST(LoadStateDictTest, CopiesParametersAndBuffers) {
  SmallNet net;
  const StateDict weights = Weights();
  const absl::Status status = LoadStateDict(*net, weights, Options());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(torch::equal(net->fc->weight, weights.at("fc.weight")));
  EXPECT_TRUE(torch::equal(net->conv->weight, weights.at("conv.weight")));
  EXPECT_TRUE(torch::equal(net->mean, weights.at("mean")));
  EXPECT_FALSE(net->is_training());
  EXPECT_FALSE(net->fc->weight.requires_grad());
  // Copied: the checkpoint's memory is free to go.
  EXPECT_NE(net->fc->weight.data_ptr(), weights.at("fc.weight").data_ptr());
}

TEST(LoadStateDictTest, ConvertsHalfPrecision) {
  SmallNet net;
  StateDict weights = Weights();
  weights["fc.weight"] = weights["fc.weight"].to(torch::kHalf);
  weights["conv.weight"] = weights["conv.weight"].to(torch::kBFloat16);
  weights["mean"] = weights["mean"].to(torch::kDouble);
  ASSERT_TRUE(LoadStateDict(*net, weights, Options()).ok());
  EXPECT_EQ(net->fc->weight.scalar_type(), torch::kFloat);
  EXPECT_TRUE(
      torch::equal(net->fc->weight, weights.at("fc.weight").to(torch::kFloat)));
}

TEST(LoadStateDictTest, LinearAndPointwiseConvolutionAreOneLayer) {
  SmallNet net;
  StateDict weights = Weights();
  weights["fc.weight"] = torch::randn({2, 3, 1, 1});
  weights["conv.weight"] = torch::randn({4, 2});
  ASSERT_TRUE(LoadStateDict(*net, weights, Options()).ok());
  EXPECT_TRUE(
      torch::equal(net->fc->weight, weights.at("fc.weight").reshape({2, 3})));
  EXPECT_TRUE(torch::equal(net->conv->weight,
                           weights.at("conv.weight").reshape({4, 2, 1, 1})));
}

TEST(LoadStateDictTest, NamesEverythingThatDoesNotFitAndCopiesNothing) {
  SmallNet net;
  const torch::Tensor before = net->conv->bias.detach().clone();
  StateDict weights = Weights();
  weights.erase("fc.weight");
  weights.erase("mean");
  weights["fc.bias"] = torch::randn({3});
  weights["conv.weight"] = torch::randn({2, 4, 1, 1});  // same element count
  weights["head.weight"] = torch::randn({1});
  weights["other"] = torch::randn({1});
  const absl::Status status = LoadStateDict(*net, weights, Options());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("small net"), HasSubstr("2 missing: fc.weight, mean"),
            HasSubstr("2 unexpected: head.weight, other"),
            HasSubstr("2 misshapen: conv.weight (found [2, 4, 1, 1], needs "
                      "[4, 2, 1, 1]), fc.bias (found [3], needs [2])")));
  EXPECT_TRUE(torch::equal(net->conv->bias, before));
}

TEST(LoadStateDictTest, RefusesQuantisedWeights) {
  SmallNet net;
  StateDict weights = Weights();
  weights["fc.weight"] = torch::ones({2, 3}, torch::kChar);
  const absl::Status status = LoadStateDict(*net, weights, Options());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("fc.weight"), HasSubstr("dtype")));
}

TEST(LoadStateDictTest, IgnoresOnlyWhatThePatternsMatchWhole) {
  SmallNet net;
  StateDict weights = Weights();
  weights.erase("mean");
  weights["head.weight"] = torch::randn({1});
  weights["ahead.weight"] = torch::randn({1});
  LoadStateDictOptions options = Options();
  options.ignore_missing = {"mean"};
  options.ignore_unexpected = {R"(head\..*)"};
  const absl::Status status = LoadStateDict(*net, weights, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("1 unexpected: ahead.weight"),
                    Not(HasSubstr("missing"))));
  options.ignore_unexpected.push_back("ahead.*");
  EXPECT_TRUE(LoadStateDict(*net, weights, options).ok());
  options.ignore_unexpected = {"("};
  EXPECT_EQ(LoadStateDict(*net, weights, options).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ovdiff::engine
