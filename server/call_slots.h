// CallSlots: how many calls of one kind may be at work.
#ifndef OVDIFF_SERVER_CALL_SLOTS_H_
#define OVDIFF_SERVER_CALL_SLOTS_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {

// Thread-safe.
class CallSlots {
 public:
  // `what` names the calls in messages.
  CallSlots(std::string what, int max) : what_(std::move(what)), max_(max) {}

  // One of the slots, for as long as it is held; it may outlive this.
  // kUnavailable with RetryInfo when all are taken.
  absl::StatusOr<std::shared_ptr<void>> Take() {
    if (taken_->fetch_add(1) >= max_) {
      taken_->fetch_sub(1);
      return OverloadError(
          absl::StrCat(max_, " ", what_,
                       " are at work, which is the limit; try again later"),
          reasons::kQueueFull, absl::Seconds(1));
    }
    return std::shared_ptr<void>(
        nullptr, [taken = taken_](void*) { taken->fetch_sub(1); });
  }

 private:
  const std::string what_;
  const int max_;
  const std::shared_ptr<std::atomic<int>> taken_ =
      std::make_shared<std::atomic<int>>(0);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CALL_SLOTS_H_
