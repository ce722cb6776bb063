// CallControl: how a caller bounds and watches a long call.
#ifndef OVDIFF_ENGINE_BASE_CALL_CONTROL_H_
#define OVDIFF_ENGINE_BASE_CALL_CONTROL_H_

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ovdiff {

// Set once from any thread, read from any thread. Copies share one flag.
class CancellationToken {
 public:
  CancellationToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void Cancel() const { flag_->store(true, std::memory_order_release); }
  bool IsCancelled() const { return flag_->load(std::memory_order_acquire); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

struct CallControl {
  absl::Time deadline = absl::InfiniteFuture();
  CancellationToken cancellation;

  // OK, kCancelled or kDeadlineExceeded.
  absl::Status Check() const {
    if (cancellation.IsCancelled()) {
      return absl::CancelledError("cancelled by the caller");
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError("the deadline has passed");
    }
    return absl::OkStatus();
  }
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_CALL_CONTROL_H_
