// The detector's operations against torchvision's, on random boxes.
#include "engine/ops/anchors.h"
#include "engine/ops/boxes.h"
#include "engine/ops/mask_paste.h"
#include "engine/ops/roi_align.h"
#include "tests/parity/cutler/goldens.h"

namespace ovdiff::engine {
namespace {

class DetectorOps : public ::testing::Test {
 protected:
  void SetUp() override { io_ = ReadCutlerGolden("ops.safetensors"); }
  const torch::Tensor& Golden(const char* name) { return io_.at(name); }

  StateDict io_;
};

TEST_F(DetectorOps, RoiAlign) {
  const torch::Tensor features =
      Golden("features")[0].permute({1, 2, 0}).contiguous();
  EXPECT_LT(Difference(RoiAlign(features, Golden("rois"), 1.0 / 8, 4),
                       Golden("aligned")),
            1e-5);
}

TEST_F(DetectorOps, Suppression) {
  for (const auto& [name, threshold] :
       {std::pair{"kept_50", 0.5}, std::pair{"kept_20", 0.2}}) {
    EXPECT_TRUE(torch::equal(
        SuppressBoxes(Golden("boxes"), Golden("scores"), threshold),
        Golden(name)))
        << name;
  }
}

TEST_F(DetectorOps, DecodedBoxes) {
  EXPECT_LT(
      Difference(DecodeBoxes(Golden("deltas"), Golden("boxes"), {10, 10, 5, 5}),
                 Golden("decoded")),
      1e-4);
}

TEST_F(DetectorOps, PastedMasks) {
  const torch::Tensor golden = Golden("pasted");
  const torch::Tensor pasted =
      PasteMasks(Golden("masks"), Golden("mask_boxes"), 40, 50);
  const torch::Tensor sure = (golden - 0.5).abs() > 1e-5;
  EXPECT_GT(sure.sum().item<int64_t>(), golden.numel() - 3);
  EXPECT_TRUE(torch::equal(pasted.logical_and(sure),
                           (golden >= 0.5).logical_and(sure)));
}

TEST_F(DetectorOps, Anchors) {
  EXPECT_TRUE(torch::equal(GridAnchors(3, 4, 16, 128, {0.5, 1.0, 2.0}),
                           Golden("anchors")));
}

}  // namespace
}  // namespace ovdiff::engine
