// A narrow Cascade Mask R-CNN against the same network out of torchvision's
// operators (reference.py), and the real one's names and shapes.
#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "engine/nn/cascade_rcnn/cascade_rcnn.h"
#include "engine/runtime/compute_device.h"
#include "gmock/gmock.h"
#include "tests/parity/cutler/goldens.h"

namespace ovdiff::engine {
namespace {

class CutlerParity : public ::testing::Test {
 protected:
  void SetUp() override {
    io_ = ReadCutlerGolden("tiny.safetensors");
    CutlerSpec spec = SpecOf(io_);
    spec.folder = CutlerGolden("tiny");
    auto device = ComputeDevice::Create({.num_threads = 1});
    ASSERT_TRUE(device.ok()) << device.status();
    auto runner = CutlerRunner::Create(spec, **device);
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }

  StateDict io_;
  std::unique_ptr<CutlerRunner> runner_;
};

TEST_F(CutlerParity, WideTallAndEmptyPictures) {
  torch::InferenceMode inference;
  EXPECT_GE(ExpectDetections(*runner_, io_, 0), 3);
  EXPECT_GE(ExpectDetections(*runner_, io_, 1), 3);
  EXPECT_EQ(ExpectDetections(*runner_, io_, 2), 0);
}

TEST_F(CutlerParity, ProposalsArePastedDetections) {
  torch::InferenceMode inference;
  for (const char* index : {"0", "1", "2"}) {
    const auto golden = [&](const char* name) {
      return io_.at(absl::StrCat(index, "/", name));
    };
    const auto masks =
        runner_->Propose(ToPicture(golden("picture")), OptionsOf(io_));
    ASSERT_TRUE(masks.ok()) << masks.status();
    EXPECT_EQ(masks->scalar_type(), torch::kBool);
    ASSERT_EQ(masks->sizes(), golden("pasted").sizes());
    EXPECT_LE(
        (*masks != golden("pasted").to(torch::kBool)).sum().item<int64_t>(),
        golden("near_half").item<int64_t>());
  }
}

TEST_F(CutlerParity, TheBestAreKept) {
  torch::InferenceMode inference;
  CutlerOptions options = OptionsOf(io_).cutler;
  options.max_detections = 2;
  const auto found = runner_->Detect(ToPicture(io_.at("0/picture")), options);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_LT(Difference(found->scores, io_.at("0/scores").narrow(0, 0, 2)),
            kCutlerTolerance);
  EXPECT_LT(Difference(found->masks, io_.at("0/masks").narrow(0, 0, 2)),
            kCutlerTolerance);
}

// What the real checkpoint holds, as reference.py's state dict has it; the
// count is networks.md's.
TEST(CutlerKeys, NamesAndShapesOfTheRealNetwork) {
  std::ifstream file(
      absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/keys/cutler.txt"));
  std::vector<std::string> expected;
  for (std::string line; std::getline(file, line);) {
    if (!absl::StrContains(line, ".num_batches_tracked ")) {
      expected.push_back(line);
    }
  }
  ASSERT_EQ(expected.size(), 225u + 2 * 61);
  const CascadeRcnn network{CascadeRcnnConfig()};
  std::vector<std::string> lines;
  int64_t count = 0;
  for (const auto& item : network->named_parameters()) {
    lines.push_back(absl::StrCat(item.key(), " ",
                                 absl::StrJoin(item.value().sizes(), "x")));
    count += item.value().numel();
  }
  for (const auto& item : network->named_buffers()) {
    lines.push_back(absl::StrCat(item.key(), " ",
                                 absl::StrJoin(item.value().sizes(), "x")));
  }
  EXPECT_THAT(lines, ::testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(count, 71'776'866);
}

}  // namespace
}  // namespace ovdiff::engine
