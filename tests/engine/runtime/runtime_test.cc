// Torch's errors as Status, the CPU's lanes, and devices.
#include <atomic>
#include <set>

#include "engine/runtime/compute_device.h"
#include "engine/runtime/lane_pool.h"
#include "engine/runtime/torch_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

TEST(CallTorch, PassesResultsThrough) {
  EXPECT_TRUE(CallTorch("nothing", [] {}).ok());
  const absl::StatusOr<int> number = CallTorch("a number", [] { return 3; });
  ASSERT_TRUE(number.ok());
  EXPECT_EQ(*number, 3);
  EXPECT_EQ(CallTorch("a status", [] { return absl::AbortedError("x"); }),
            absl::AbortedError("x"));
  EXPECT_TRUE(
      *CallTorch("a mode", [] { return c10::InferenceMode::is_enabled(); }));
}

TEST(CallTorch, TurnsExceptionsIntoStatus) {
  const absl::Status shape =
      CallTorch("adding", [] { torch::ones({2}) + torch::ones({3}); });
  EXPECT_EQ(shape.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(shape.message(), HasSubstr("adding: "));
  // More than any address space.
  const absl::Status memory = CallTorch("a giant", [] {
                                return torch::empty({int64_t{1} << 58});
                              }).status();
  EXPECT_EQ(memory.code(), absl::StatusCode::kResourceExhausted) << memory;
  EXPECT_EQ(CallTorch("new", [] { throw std::bad_alloc(); }).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LanePool, RunsEveryTaskOnceInInferenceModeOnOneTorchThread) {
  for (const int lanes : {1, 2, 5}) {
    LanePool pool(lanes);
    EXPECT_EQ(pool.num_lanes(), lanes);
    for (int round = 0; round < 20; ++round) {
      std::vector<std::atomic<int>> calls(17);
      const absl::Status status = pool.Run(17, [&](int64_t i) {
        EXPECT_TRUE(c10::InferenceMode::is_enabled());
        EXPECT_EQ(at::get_num_threads(), 1);
        ++calls[i];
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
      for (const auto& count : calls) {
        EXPECT_EQ(count, 1);
      }
    }
    EXPECT_TRUE(pool.Run(0, [](int64_t) { return absl::OkStatus(); }).ok());
  }
}

TEST(LanePool, ReturnsAnErrorAndWorksOn) {
  LanePool pool(3);
  const absl::Status status = pool.Run(50, [](int64_t i) -> absl::Status {
    if (i == 7) {
      TORCH_CHECK(false, "seven");
    }
    return absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("seven"));
  EXPECT_TRUE(pool.Run(5, [](int64_t) { return absl::OkStatus(); }).ok());
}

// The reason for lanes: a sample's bits do not depend on its batch mates.
TEST(ComputeDevice, MapBatchGivesASampleTheSameBitsInAnyBatch) {
  auto device = ComputeDevice::Create({.name = "cpu", .num_threads = 2});
  ASSERT_TRUE(device.ok()) << device.status();
  torch::manual_seed(3);
  const torch::Tensor weight = torch::randn({16, 8, 3, 3});
  const torch::Tensor images = torch::randn({7, 8, 13, 11});
  const auto network = [&](const torch::Tensor& x) {
    return torch::sigmoid(torch::conv2d(x, weight, {}, 1, 1));
  };
  const auto together = (*device)->MapBatch(images, network);
  ASSERT_TRUE(together.ok()) << together.status();
  for (int64_t i = 0; i < images.size(0); ++i) {
    const auto alone = (*device)->MapBatch(images.narrow(0, i, 1), network);
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_TRUE(torch::equal((*alone)[0], (*together)[i])) << i;
  }
}

TEST(ComputeDevice, NamesWhatIsAllowed) {
  EXPECT_EQ(ComputeDevice::Create({.name = "gpu"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ComputeDevice::Create({.name = "cuda:-1"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      ComputeDevice::Create({.name = "cpu", .num_threads = -1}).status().code(),
      absl::StatusCode::kInvalidArgument);
#if defined(OVDIFF_CUDA)
  if (!torch::cuda::is_available()) {
    EXPECT_THAT(ComputeDevice::Create({.name = "cuda"}).status().message(),
                HasSubstr("no NVIDIA driver"));
  }
#else
  EXPECT_THAT(ComputeDevice::Create({.name = "cuda"}).status().message(),
              HasSubstr("built without CUDA"));
#endif
}

}  // namespace
}  // namespace ovdiff::engine
