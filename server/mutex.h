// Mutex: std::mutex with the annotations that clang's -Wthread-safety reads.
// Not absl::Mutex: Debian's Abseil is built without the thread sanitizer's
// annotations, so a run under it would see races everywhere.
#ifndef OVDIFF_SERVER_MUTEX_H_
#define OVDIFF_SERVER_MUTEX_H_

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ovdiff::server {

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// REQUIRES, in both waits: the caller holds `mutex`. Wakes may be spurious.
class CondVar {
 public:
  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    cond_.wait(mutex);
  }
  void WaitUntil(Mutex& mutex, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    // Far deadlines overflow std::chrono; waking once an hour costs nothing.
    const absl::Duration left =
        std::min(deadline - absl::Now(), absl::Hours(1));
    cond_.wait_for(mutex, absl::ToChronoNanoseconds(left));
  }
  void NotifyOne() { cond_.notify_one(); }
  void NotifyAll() { cond_.notify_all(); }

 private:
  std::condition_variable_any cond_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_MUTEX_H_
