#include "server/key_locks.h"

#include "absl/time/clock.h"
#include "engine/base/status_macros.h"

namespace ovdiff::server {
namespace {

// How often a wait for another build looks for its own cancellation.
constexpr absl::Duration kPoll = absl::Milliseconds(50);

}  // namespace

KeyLocks::Held::~Held() {
  MutexLock lock(&locks_.mutex_);
  locks_.busy_.erase(key_);
  locks_.released_.SignalAll();
}

absl::StatusOr<std::unique_ptr<KeyLocks::Held>> KeyLocks::Take(
    const store::ContentKey& key, const CallControl& control) {
  MutexLock lock(&mutex_);
  while (busy_.count(key) > 0) {
    OVDIFF_RETURN_IF_ERROR(control.Check());
    released_.WaitUntil(&mutex_, absl::Now() + kPoll);
  }
  busy_.insert(key);
  return std::make_unique<Held>(*this, key);
}

}  // namespace ovdiff::server
