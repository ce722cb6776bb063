// One store that meets one fault again and again, healthy openings in between.
#ifndef OVDIFF_TESTS_STORE_TORTURE_FAULT_RUN_H_
#define OVDIFF_TESTS_STORE_TORTURE_FAULT_RUN_H_

#include <sys/types.h>

#include <functional>
#include <random>
#include <string>

#include "tests/store/torture/child.h"
#include "tests/store/torture/disk_faults.h"

namespace ovdiff::store::torture {

struct DiskFault {
  const char* name;
  FileOp op;
  FileKind kind;
  FaultThread thread;
  int error;
  bool at_open;  // Else once writing has begun.
  int max_countdown = 0;
  bool look_after = false;
};

class FaultRun {
 public:
  FaultRun(const DiskFaultOptions& options, std::string name);

  // Opens, writes, meets the fault, heals it, looks whether writes come back;
  // kills; then opens in health and checks everything.
  void Meet(const DiskFault& fault);
  // The same with a fault of the caller's: `harm` is called before opening or,
  // if not `at_open`, while writing goes on; `heal` undoes it.
  void MeetOutside(bool at_open, int64_t min_free_bytes,
                   const std::function<void()>& harm,
                   const std::function<void()>& heal);
  // Opens in health, writes for `milliseconds`, kills.
  void WriteInHealth(int milliseconds);
  void CheckAll();

  static const Workload& workload();
  const FaultRow& row() const { return row_; }
  FaultRow& row() { return row_; }
  SharedState& shared() { return shared_; }
  const std::string& path() const { return path_; }

 private:
  ChildOptions MakeChild();
  pid_t Start(const ChildOptions& child);
  // Until the child is refused, gone, or has met failures.
  void WaitForTrouble(pid_t pid, bool is_injected);
  // After the fault is healed.
  std::string OutcomeOf(pid_t pid, bool was_met);
  int64_t failures() const;
  void Problem(const std::string& words);

  const DiskFaultOptions options_;
  std::mt19937_64 random_;
  SharedState& shared_;
  std::string path_;
  std::string log_;
  int64_t min_free_bytes_ = 0;
  FaultRow row_;
};

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_FAULT_RUN_H_
