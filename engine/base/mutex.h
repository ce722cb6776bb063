// Mutex, MutexLock and CondVar: std's, with Clang's thread annotations.
// Abseil's would do, but Debian's Abseil is built without the thread sanitizer,
// which then does not see its locks and reports every access under them as a
// race.
#ifndef OVDIFF_ENGINE_BASE_MUTEX_H_
#define OVDIFF_ENGINE_BASE_MUTEX_H_

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ovdiff {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
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

// Waits may wake for no reason: call them in a loop.
class CondVar {
 public:
  void Signal() { changed_.notify_one(); }
  void SignalAll() { changed_.notify_all(); }
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }
  // For at most `timeout`; any length, below zero is zero.
  void WaitFor(Mutex* mutex, absl::Duration timeout)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    // An hour at a time: the clock's sums overflow for an infinite duration.
    changed_.wait_for(
        lock, absl::ToChronoNanoseconds(
                  std::clamp(timeout, absl::ZeroDuration(), absl::Hours(1))));
    lock.release();
  }
  void WaitUntil(Mutex* mutex, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    WaitFor(mutex, deadline - absl::Now());
  }

 private:
  std::condition_variable changed_;
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_MUTEX_H_
