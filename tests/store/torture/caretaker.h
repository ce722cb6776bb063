// What an operator does to a store that is in use, all the time: verify,
// collect garbage, compact, back up.
#ifndef OVDIFF_TESTS_STORE_TORTURE_CARETAKER_H_
#define OVDIFF_TESTS_STORE_TORTURE_CARETAKER_H_

#include "store/prototype_store.h"
#include "tests/store/torture/child.h"

namespace ovdiff::store::torture {

// Until shared.stop; a thread of a child. Notes in `shared` what was done
// before each whole backup.
void LookAfter(const ChildOptions& options, PrototypeStore& store,
               SharedState& shared);

// Restores the newest backup into a folder beside `options.path` and compares
// the blocks that were whole when it was begun. In a child; says what is wrong,
// as RunChild().
void CheckBackup(const ChildOptions& options, SharedState& shared);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_CARETAKER_H_
