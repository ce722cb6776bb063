// LanePool: threads that each run whole samples, one torch thread apiece.
//
// Why not torch's own threads over a batch: oneDNN picks a convolution's
// algorithm by batch size, matrix-vector products differ from matrix-matrix
// ones, and vectorised tails move with the batch, so a sample's bits would
// depend on its batch mates (measured with 2.11.0: 3x3 convolutions, linear
// layers on one row and sigmoid differ). A sample alone on one thread always
// gets the same bits, whatever else runs and however many lanes there are; on
// the demo networks it costs 15 % over a batch of eight.
#ifndef OVDIFF_ENGINE_RUNTIME_LANE_POOL_H_
#define OVDIFF_ENGINE_RUNTIME_LANE_POOL_H_

#include <cstdint>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace ovdiff::engine {

// Thread-hostile: one Run() at a time, from any thread; that thread's torch is
// set to one thread for good.
class LanePool {
 public:
  // The caller of Run() is one lane; the rest are threads of this object.
  // REQUIRES: num_lanes >= 1.
  explicit LanePool(int num_lanes);
  ~LanePool();
  LanePool(const LanePool&) = delete;
  LanePool& operator=(const LanePool&) = delete;

  int num_lanes() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls task(i) once for each i in [0, count), on all lanes, in inference
  // mode, and waits for all. Exceptions become Status as in CallTorch().
  // Returns the error with the lowest index; later tasks may then be left out.
  absl::Status Run(int64_t count,
                   absl::FunctionRef<absl::Status(int64_t)> task);

 private:
  struct Round;

  void ThreadLoop();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Work(Round* round) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  Round* round_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNTIME_LANE_POOL_H_
