#include "engine/base/call_control.h"

#include <thread>

#include "engine/base/status_macros.h"
#include "gtest/gtest.h"

namespace ovdiff {
namespace {

TEST(CallControlTest, NothingStopsACallByDefault) {
  EXPECT_TRUE(CallControl().Check().ok());
}

TEST(CallControlTest, CopiesShareTheCancellation) {
  CallControl control;
  const CallControl copy = control;
  std::thread([token = copy.cancellation] { token.Cancel(); }).join();
  EXPECT_TRUE(control.cancellation.IsCancelled());
  EXPECT_EQ(control.Check().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(CallControl().Check().ok());
}

TEST(CallControlTest, APassedDeadlineEndsTheCall) {
  CallControl control;
  control.deadline = absl::Now() + absl::Hours(1);
  EXPECT_TRUE(control.Check().ok());
  control.deadline = absl::Now() - absl::Milliseconds(1);
  EXPECT_EQ(control.Check().code(), absl::StatusCode::kDeadlineExceeded);
  // Who cancelled does not want to hear of deadlines.
  control.cancellation.Cancel();
  EXPECT_EQ(control.Check().code(), absl::StatusCode::kCancelled);
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) {
    return absl::InvalidArgumentError("odd");
  }
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  OVDIFF_ASSIGN_OR_RETURN(const int half, Half(number));
  OVDIFF_RETURN_IF_ERROR(Half(half).status());
  OVDIFF_ASSIGN_OR_RETURN(int quarter, Half(half));
  return quarter;
}

TEST(StatusMacrosTest, PassValuesOnAndErrorsUp) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(3).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Quarter(2).status().message(), "odd");
}

}  // namespace
}  // namespace ovdiff
