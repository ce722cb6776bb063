// KeyLocks: one thread at a time works on a content key.
#ifndef OVDIFF_SERVER_KEY_LOCKS_H_
#define OVDIFF_SERVER_KEY_LOCKS_H_

#include <memory>
#include <set>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe.
class KeyLocks {
 public:
  // Holds its key while it lives. Must not outlive its KeyLocks.
  class Held {
   public:
    Held(KeyLocks& locks, const store::ContentKey& key)
        : locks_(locks), key_(key) {}
    ~Held();
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    KeyLocks& locks_;
    const store::ContentKey key_;
  };

  // Waits until nobody holds `key`. kCancelled, kDeadlineExceeded.
  absl::StatusOr<std::unique_ptr<Held>> Take(const store::ContentKey& key,
                                             const CallControl& control);

 private:
  Mutex mutex_;
  CondVar released_;
  std::set<store::ContentKey> busy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_KEY_LOCKS_H_
