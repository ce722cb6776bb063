// What CutlerRunner takes and refuses; what it finds is checked in
// tests/parity/cutler, whose tiny network is used here.
#include "engine/runners/cutler_runner.h"

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/weights/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kTiny[] = OVDIFF_SOURCE_DIR "/tests/parity/cutler/goldens/tiny";

class CutlerRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ovdiff-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::copy(std::string(kTiny) + "/config.json", folder_);
    auto weights = ReadSafetensors(std::string(kTiny) + "/model.safetensors");
    ASSERT_TRUE(weights.ok()) << weights.status();
    weights_ = *std::move(weights);
    auto device = ComputeDevice::Create({.num_threads = 1});
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
  }
  void TearDown() override { fs::remove_all(folder_); }

  absl::StatusOr<std::unique_ptr<CutlerRunner>> Create() {
    const absl::Status written =
        WriteSafetensors((folder_ / "model.safetensors").string(), weights_);
    EXPECT_TRUE(written.ok()) << written;
    return CutlerRunner::Create(
        {.folder = folder_.string(),
         .short_side = 64,
         .max_long_side = 100,
         .normalization = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}},
        *device_);
  }

  static Image Picture(int width, int height) {
    Image image{.width = width, .height = height, .data = {}};
    for (int i = 0; i < width * height * 3; ++i) {
      image.data.push_back(static_cast<uint8_t>((i * 2654435761u) >> 24));
    }
    return image;
  }

  // Every proposal is a detection.
  static PrototypeOptions All() {
    PrototypeOptions options;
    options.cutler.score_threshold = 0;
    return options;
  }

  fs::path folder_;
  StateDict weights_;
  std::unique_ptr<ComputeDevice> device_;
};

TEST_F(CutlerRunnerTest, AllNamesThatDoNotFitAreListed) {
  weights_.erase("roi_heads.mask_head.deconv.bias");
  weights_.erase("backbone.bottom_up.stem.conv1.norm.running_var");
  weights_["roi_heads.box_head.3.fc1.weight"] = torch::zeros({2, 2});
  weights_["proposal_generator.rpn_head.conv.bias"] = torch::zeros({3});
  const absl::Status status = Create().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr(folder_.string()), HasSubstr("cutler"),
            HasSubstr("2 missing: "),
            HasSubstr("roi_heads.mask_head.deconv.bias"),
            HasSubstr("backbone.bottom_up.stem.conv1.norm.running_var"),
            HasSubstr("1 unexpected: roi_heads.box_head.3.fc1.weight"),
            HasSubstr("1 misshapen: proposal_generator.rpn_head.conv.bias "
                      "(found [3], needs [10])"),
            Not(HasSubstr("num_batches_tracked")),
            Not(HasSubstr("pixel_mean"))));
}

TEST_F(CutlerRunnerTest, WhatTheCheckpointHoldsBesideMayBeAbsent) {
  ASSERT_TRUE(weights_.count("pixel_mean") == 1);
  ASSERT_TRUE(weights_.count(
                  "proposal_generator.anchor_generator.cell_anchors.0") == 1);
  ASSERT_TRUE(Create().ok());
  std::erase_if(weights_, [](const auto& item) {
    return item.first.starts_with("pixel_") ||
           item.first.find("cell_anchors") != std::string::npos ||
           item.first.ends_with("num_batches_tracked");
  });
  const auto runner = Create();
  EXPECT_TRUE(runner.ok()) << runner.status();
}

TEST_F(CutlerRunnerTest, FilesThatAreNotThereAreNamed) {
  fs::remove(folder_ / "config.json");
  absl::Status status = Create().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("config.json"));
}

TEST_F(CutlerRunnerTest, MasksHaveThePicturesShape) {
  const auto runner = Create();
  ASSERT_TRUE(runner.ok()) << runner.status();
  torch::InferenceMode inference;
  for (const auto& [width, height] : {std::pair{50, 40}, std::pair{1, 1},
                                      std::pair{900, 2}, std::pair{2, 900}}) {
    const auto masks = (*runner)->Propose(Picture(width, height), All());
    ASSERT_TRUE(masks.ok()) << masks.status();
    EXPECT_EQ(masks->scalar_type(), torch::kBool);
    EXPECT_GT(masks->size(0), 0);
    EXPECT_EQ(masks->size(1), height);
    EXPECT_EQ(masks->size(2), width);
  }
}

TEST_F(CutlerRunnerTest, MasksOfLargePicturesAreBounded) {
  const auto runner = Create();
  ASSERT_TRUE(runner.ok()) << runner.status();
  torch::InferenceMode inference;
  PrototypeOptions options = All();
  options.cutler.max_detections = 1;
  const auto masks = (*runner)->Propose(Picture(2048, 1024), options);
  ASSERT_TRUE(masks.ok()) << masks.status();
  EXPECT_EQ(masks->sizes(), (std::vector<int64_t>{1, 724, 1448}));
}

TEST_F(CutlerRunnerTest, DetectionsAreBoundedAndMayBeNone) {
  const auto runner = Create();
  ASSERT_TRUE(runner.ok()) << runner.status();
  torch::InferenceMode inference;
  PrototypeOptions options = All();
  options.cutler.max_detections = 4;
  const auto few = (*runner)->Propose(Picture(50, 40), options);
  ASSERT_TRUE(few.ok()) << few.status();
  EXPECT_EQ(few->size(0), 4);
  options.cutler.score_threshold = 1;
  const auto none = (*runner)->Propose(Picture(50, 40), options);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->sizes(), (std::vector<int64_t>{0, 40, 50}));
}

TEST_F(CutlerRunnerTest, ValuesThatAreNotFiniteAreAnError) {
  weights_["roi_heads.mask_head.predictor.bias"] =
      torch::full({1}, std::nan(""));
  const auto runner = Create();
  ASSERT_TRUE(runner.ok()) << runner.status();
  torch::InferenceMode inference;
  EXPECT_EQ((*runner)->Propose(Picture(50, 40), All()).status().code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace ovdiff::engine
