#include "engine/ops/pamr.h"

#include <sys/resource.h>

#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// The picture of a case of make_query_goldens.py.
torch::Tensor Picture(const nlohmann::json& golden) {
  const int64_t width = golden["width"];
  torch::Tensor picture = (DrawnTensor(5, {3, golden["height"], width}) * 256);
  picture.floor_();
  if (golden["name"] == "flat") {
    picture.fill_(77);
  }
  if (golden["name"] == "steps") {
    picture.div_(64).floor_();
    picture.narrow(2, width / 2, width - width / 2).add_(200);
  }
  return picture;
}

TEST(PamrTest, EqualsBruteForce) {
  const nlohmann::json goldens = LoadGoldens("query_goldens.json");
  ASSERT_EQ(goldens["pamr"].size(), 6u);
  for (const auto& golden : goldens["pamr"]) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const std::vector<int64_t> shape = {golden["maps"], golden["height"],
                                        golden["width"]};
    const PamrAffinity affinity(Picture(golden),
                                golden["dilations"].get<std::vector<int>>());
    const torch::Tensor refined =
        affinity.Refine(DrawnTensor(6, shape) * 2 - 1, golden["iterations"]);
    const torch::Tensor expected = ToTensor(golden["refined"], shape);
    EXPECT_LE((refined - expected).abs().max().item<float>(), 1e-5);
  }
}

TEST(PamrTest, MapsDoNotSeeEachOther) {
  const PamrAffinity affinity((DrawnTensor(1, {3, 30, 40}) * 255).round(),
                              std::vector<int>{1, 5});
  const torch::Tensor maps = DrawnTensor(2, {5, 30, 40});
  const torch::Tensor refined = affinity.Refine(maps, 3);
  for (int64_t i = 0; i < maps.size(0); ++i) {
    EXPECT_TRUE(
        torch::equal(affinity.Refine(maps.narrow(0, i, 1), 3)[0], refined[i]));
  }
}

TEST(PamrTest, AnEdgeStopsScores) {
  torch::Tensor picture = torch::full({3, 8, 20}, 20.0);
  picture.narrow(2, 9, 11).fill_(220);
  torch::Tensor maps = torch::zeros({1, 8, 20});
  maps.narrow(2, 0, 12).fill_(1);  // Three columns too far.
  const torch::Tensor refined =
      PamrAffinity(picture, std::vector<int>{1, 2, 4}).Refine(maps, 30)[0];
  EXPECT_GT(refined.narrow(1, 0, 9).min().item<float>(), 0.99);
  EXPECT_LT(refined.narrow(1, 9, 3).max().item<float>(), 0.6);
}

// COCO's size and classes with background. Iterations reuse what the first
// needs, so one shows the memory of all.
TEST(PamrTest, ACocoPictureOf81ClassesStaysBelowAGigabyte) {
  const torch::Tensor picture = torch::rand({3, 480, 640}).mul_(255);
  const torch::Tensor maps = torch::rand({81, 480, 640});
  rusage before;
  ASSERT_EQ(getrusage(RUSAGE_SELF, &before), 0);
  const PamrAffinity affinity(picture, std::vector<int>{1, 2, 4, 8, 12, 24});
  const torch::Tensor refined = affinity.Refine(maps, 1);
  rusage after;
  ASSERT_EQ(getrusage(RUSAGE_SELF, &after), 0);
  EXPECT_EQ(refined.sizes(), maps.sizes());
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 1 << 20);  // KiB
}

}  // namespace
}  // namespace ovdiff::engine
