// StoreOperations: of the long operations on the store, one at a time.
#ifndef OVDIFF_SERVER_STORE_OPERATIONS_H_
#define OVDIFF_SERVER_STORE_OPERATIONS_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"

namespace ovdiff::server {

// Thread-safe; never blocks.
class StoreOperations {
 public:
  struct Operation {
    std::string name;    // "verify", "garbage collection", …
    std::string caller;  // The peer's address.
    absl::Time start_time;
  };

  // The right to run, until it is destroyed. Movable.
  class Turn {
   public:
    explicit Turn(StoreOperations& operations) : operations_(&operations) {}
    ~Turn() {
      if (operations_ != nullptr) {
        operations_->End();
      }
    }
    Turn(Turn&& other) noexcept
        : operations_(std::exchange(other.operations_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;

   private:
    StoreOperations* operations_;
  };

  // kFailedPrecondition (STORE_BUSY) saying who runs what since when, or
  // kUnavailable (DRAINING) after Stop(). `control` is how Stop() ends the
  // operation.
  absl::StatusOr<Turn> Begin(absl::string_view name, std::string caller,
                             const CallControl& control);

  std::optional<Operation> running() const;

  // Cancels what runs and lets nothing begin. Does not wait. Idempotent.
  void Stop();
  bool is_stopped() const;

 private:
  void End();

  mutable Mutex mutex_;
  std::optional<Operation> running_ ABSL_GUARDED_BY(mutex_);
  CancellationToken cancellation_ ABSL_GUARDED_BY(mutex_);
  bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_OPERATIONS_H_
