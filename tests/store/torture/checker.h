// Compares a store with what must be in it.
#ifndef OVDIFF_TESTS_STORE_TORTURE_CHECKER_H_
#define OVDIFF_TESTS_STORE_TORTURE_CHECKER_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "store/prototype_store.h"
#include "tests/store/torture/workload.h"

namespace ovdiff::store::torture {

// Of reads, each of one record: a set, a version, a head, a job.
struct Findings {
  int64_t exact = 0;
  int64_t missing = 0;  // "There is none", with no word of damage.
  int64_t differing =
      0;                // Served, and not what was written; or not to be there.
  int64_t refused = 0;  // An error says that it cannot be served.
  int64_t unnamed = 0;  // Of the refused: the error does not say which record.
  std::string first;    // The first that was not exact.

  bool all_exact() const { return missing + differing + refused == 0; }
  void Add(const Findings& more);
};

// Thread-compatible. `store` must outlive it.
class Checker {
 public:
  // Jobs are read at once, here.
  Checker(const Workload& workload, const PrototypeStore& store);

  // That exactly the first `done` operations of the block are there.
  Findings CheckBlock(int writer, int64_t block, int done) const;
  // That a set is there.
  Findings CheckSet(int seed) const;
  // Damaged jobs are not named, only counted: so many missing ones are refused
  // ones, as long as no more are missing. Call it last.
  void SettleJobs(Findings& findings) const;
  // That a vocabulary to which classes are only added is whole in all versions.
  Findings CheckGrowing(const VocabularySummary& summary) const;

 private:
  void CheckVersions(const Block& block, Findings& findings) const;
  void CheckJobs(int writer, int64_t number, const Block& block,
                 Findings& findings) const;
  void CheckSupport(int seed, Findings& findings) const;
  void CheckShared(const Block& block, Findings& findings) const;
  void CheckNext(const Block& block, Findings& findings) const;

  const Workload workload_;
  const PrototypeStore& store_;
  absl::Status jobs_status_;
  int64_t damaged_jobs_ = 0;
  mutable int64_t missing_jobs_ = 0;
  std::map<std::string, std::string> jobs_;
  // Heads of the shared vocabularies by name.
  mutable std::map<std::string, absl::StatusOr<Vocabulary>> shared_;
};

// Checks everything that the writers have done, `done[w]` operations of writer
// w each, and that there is nothing else.
Findings CheckAll(const Workload& workload, const std::vector<int64_t>& done,
                  const PrototypeStore& store);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_CHECKER_H_
