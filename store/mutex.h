// Mutex and MutexLock: std's, with Clang's thread annotations. Not Abseil's:
// Debian's is built without the thread sanitizer, which then does not see its
// locks and reports every access under them as a race.
#ifndef OVDIFF_STORE_MUTEX_H_
#define OVDIFF_STORE_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace ovdiff::store {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_MUTEX_H_
