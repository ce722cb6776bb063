// Readiness: whether traffic should come, and if not, why not.
#ifndef OVDIFF_SERVER_READINESS_H_
#define OVDIFF_SERVER_READINESS_H_

#include <string>
#include <utility>

#include "engine/base/mutex.h"

namespace ovdiff::server {

// Thread-safe. Not ready at first.
class Readiness {
 public:
  void SetReady() { Set(true, "ready"); }
  void SetNotReady(std::string reason) { Set(false, std::move(reason)); }

  // Ready, but not whole (the disk is full: segmentation goes on). Empty:
  // whole.
  void SetDegraded(std::string reason) {
    MutexLock lock(&mutex_);
    degraded_ = std::move(reason);
  }

  struct State {
    bool is_ready = false;
    std::string text;
  };
  State Get() const {
    MutexLock lock(&mutex_);
    return {is_ready_,
            degraded_.empty() ? text_ : text_ + "; degraded: " + degraded_};
  }

 private:
  void Set(bool is_ready, std::string text) {
    MutexLock lock(&mutex_);
    is_ready_ = is_ready;
    text_ = std::move(text);
  }

  mutable Mutex mutex_;
  bool is_ready_ ABSL_GUARDED_BY(mutex_) = false;
  std::string text_ ABSL_GUARDED_BY(mutex_) = "starting";
  std::string degraded_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_READINESS_H_
