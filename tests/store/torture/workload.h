// What the writers write, as a function of numbers, so that a parent who knows
// only how many operations were acknowledged knows every byte that must be
// there.
//
// Writer w does operations 0, 1, 2, … one after the other. Each kOpsPerBlock of
// them make one block: a vocabulary of its own with its versions, jobs, sets
// and support pictures. Some also publish into a vocabulary that all writers
// share.
#ifndef OVDIFF_TESTS_STORE_TORTURE_WORKLOAD_H_
#define OVDIFF_TESTS_STORE_TORTURE_WORKLOAD_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "store/prototype_store.h"

namespace ovdiff::store::torture {

inline constexpr int kOpsPerBlock = 40;

struct Workload {
  int writers = 8;
  // Every so many operations bring a set of some 200 KB; 0: none do. Memory is
  // then flushed while writing goes on.
  int large_every = 0;
  // Somebody collects garbage: what nothing names may be gone.
  bool collects_garbage = false;
};

// Does operation `number` of `writer`. OK: acknowledged. `again`: it may have
// been done already, as after a failure.
absl::Status Do(const Workload& workload, int writer, int64_t number,
                bool again, PrototypeStore& store);

// The content of one block when `done` of its operations are done.
struct Block {
  struct Class {
    uint16_t label = 0;
    int seed = 0;
  };
  VocabularyId id;
  // [version - 1] The classes by name.
  std::vector<std::map<std::string, Class>> versions;
  std::map<std::string, uint16_t> labels;  // Given once per class name.
  std::map<std::string, std::string> jobs;
  // All that jobs ever were.
  std::map<std::string, std::set<std::string>> job_history;
  std::vector<int> sets;  // Seeds, as are the next. Of published classes.
  // That nothing names: garbage, if somebody collects it.
  std::vector<int> loose_sets;
  std::vector<int> supports;
  std::map<std::string, std::pair<std::string, int>>
      shared;  // Class to vocabulary and seed.
  // Of the operation that follows: must be absent.
  std::vector<int> next_sets;
  std::vector<int> next_supports;
};
Block ExpectedBlock(int writer, int64_t block, int done);

// The set with this seed.
PrototypeRecord SetOf(const Workload& workload, int seed);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_WORKLOAD_H_
