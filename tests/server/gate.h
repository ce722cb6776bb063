// Gate: where a test holds up what runs beside it.
#ifndef OVDIFF_TESTS_SERVER_GATE_H_
#define OVDIFF_TESTS_SERVER_GATE_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"

namespace ovdiff::server {

// Stops callers until it is opened. Thread-safe.
class Gate {
 public:
  void Close() {
    MutexLock lock(&mutex_);
    is_open_ = false;
  }
  void Open() {
    MutexLock lock(&mutex_);
    is_open_ = true;
    changed_.SignalAll();
  }
  // Until open, or `control` says stop.
  absl::Status Pass(const CallControl& control) {
    MutexLock lock(&mutex_);
    ++waiting_;
    changed_.SignalAll();
    absl::Status status = control.Check();
    while (!is_open_ && status.ok()) {
      changed_.WaitUntil(&mutex_, absl::Now() + absl::Milliseconds(5));
      status = control.Check();
    }
    --waiting_;
    return status;
  }
  // How many wait now.
  int num_waiting() const {
    MutexLock lock(&mutex_);
    return waiting_;
  }
  // Until `count` wait, no more and no less. False after ten seconds.
  bool AwaitWaiting(int count) const {
    for (int i = 0; i < 1000; ++i) {
      if (num_waiting() == count) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool is_open_ ABSL_GUARDED_BY(mutex_) = true;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_GATE_H_
