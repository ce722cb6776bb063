// Disks that are full, fail, or are held by another: what the store does with
// each, and that nothing acknowledged is lost.
#ifndef OVDIFF_TESTS_STORE_TORTURE_DISK_FAULTS_H_
#define OVDIFF_TESTS_STORE_TORTURE_DISK_FAULTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ovdiff::store::torture {

struct FaultRow {
  std::string name;
  int64_t runs = 0;
  // How runs ended, as
  //   open refused, writes refused and resumed, writes refused until reopened,
  //   fail-stop (RocksDB's assertion; then the next opening is the check),
  //   no write failed, not reached
  std::map<std::string, int64_t> outcomes = {};
  int64_t acknowledged = 0;
  int64_t lost = 0;
  int64_t torn = 0;
  std::string first_problem = {};

  void Add(const FaultRow& more);
  bool kept_all() const {
    return lost == 0 && torn == 0 && first_problem.empty();
  }
};

struct DiskFaultOptions {
  std::string folder;  // Emptied.
  uint64_t seed = 1;
  int runs = 3;  // Of each fault.
  // Only faults whose name has this; empty: all.
  std::string only = {};
};

// ENOSPC and EIO at chosen calls.
std::vector<FaultRow> InjectDiskFaults(const DiskFaultOptions& options);

// A volume that is really full: a tmpfs of 96 MiB where this process may mount
// one (the row says if not; then the injected faults stand alone).
std::vector<FaultRow> FillSmallVolume(const DiskFaultOptions& options);

// A second opener while the first writes; a store of format 0 and of the next
// format.
std::vector<FaultRow> OpenWhatMustBeRefused(const DiskFaultOptions& options);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_DISK_FAULTS_H_
