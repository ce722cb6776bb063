#include "server/store_operations.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {

absl::StatusOr<StoreOperations::Turn> StoreOperations::Begin(
    absl::string_view name, std::string caller, const CallControl& control) {
  MutexLock lock(&mutex_);
  if (is_stopped_) {
    return OverloadError("the server is shutting down", reasons::kDraining,
                         absl::Seconds(1));
  }
  if (running_.has_value()) {
    return PreconditionError(
        "store",
        absl::StrCat("a ", running_->name, " of the store, called by ",
                     running_->caller, ", runs since ",
                     absl::FormatTime("%Y-%m-%d %H:%M:%S", running_->start_time,
                                      absl::UTCTimeZone()),
                     " UTC; one such operation is allowed at a time: wait for "
                     "it, or have it cancelled"),
        reasons::kStoreBusy);
  }
  running_ = Operation{std::string(name), std::move(caller), absl::Now()};
  cancellation_ = control.cancellation;
  return Turn(*this);
}

std::optional<StoreOperations::Operation> StoreOperations::running() const {
  MutexLock lock(&mutex_);
  return running_;
}

void StoreOperations::Stop() {
  MutexLock lock(&mutex_);
  is_stopped_ = true;
  if (running_.has_value()) {
    cancellation_.Cancel();
  }
}

bool StoreOperations::is_stopped() const {
  MutexLock lock(&mutex_);
  return is_stopped_;
}

void StoreOperations::End() {
  MutexLock lock(&mutex_);
  running_.reset();
}

}  // namespace ovdiff::server
