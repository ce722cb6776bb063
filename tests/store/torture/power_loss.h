// Power loss after kill -9: what a child wrote and did not sync goes, as a
// journalling file system or a harsher one may do it.
#ifndef OVDIFF_TESTS_STORE_TORTURE_POWER_LOSS_H_
#define OVDIFF_TESTS_STORE_TORTURE_POWER_LOSS_H_

#include <cstdint>
#include <random>

#include "tests/store/torture/fault_calls.h"

namespace ovdiff::store::torture {

enum class PowerLoss : uint8_t {
  kAll,     // All that is not synced goes: bytes, new names, removals.
  kPart,    // A random part of it stays.
  kZeroes,  // New names and lengths stay, but unsynced bytes are zero.
};

struct PowerLossCounts {
  int64_t bytes = 0;  // Dropped, zeroed, or put back as they were.
  int64_t names = 0;  // Creations, renames and removals undone.
};

// REQUIRES: the child is dead and kept a journal, which is empty afterwards.
// Failures are fatal: the torture itself does not work.
PowerLossCounts LosePower(PowerLoss how, std::mt19937_64& random,
                          FaultState& state);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_POWER_LOSS_H_
