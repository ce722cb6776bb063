// What `make torture` says: build/torture/report.json and a few lines.
#ifndef OVDIFF_BENCHMARKS_TORTURE_TORTURE_REPORT_H_
#define OVDIFF_BENCHMARKS_TORTURE_TORTURE_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/store/torture/corrupter.h"
#include "tests/store/torture/crasher.h"
#include "tests/store/torture/disk_faults.h"

namespace ovdiff::store::torture {

struct TortureReport {
  uint64_t seed = 0;
  CrashReport kills;       // On the disk.
  CrashReport power_loss;  // Simulated.
  CrashReport care;        // Kills while it is verified, compacted, backed up.
  CrashReport clock;       // Kills while the wall clock jumps.
  CrashReport lying_disk;  // Must lose: the check of the checkers.
  CorruptionReport corruption;
  std::vector<FaultRow> faults;
  double seconds = 0;
};

// Promises that are broken, in words; empty: none.
std::vector<std::string> BrokenPromises(const TortureReport& report);

std::string ToJson(const TortureReport& report);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_BENCHMARKS_TORTURE_TORTURE_REPORT_H_
