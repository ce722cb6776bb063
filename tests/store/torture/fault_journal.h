// Writing a FaultState's journal, and the calls that it takes along. They use
// the kernel's calls only: libc's are fault_calls.cc's. Thread-safe.
#ifndef OVDIFF_TESTS_STORE_TORTURE_FAULT_JOURNAL_H_
#define OVDIFF_TESTS_STORE_TORTURE_FAULT_JOURNAL_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "tests/store/torture/fault_calls.h"

namespace ovdiff::store::torture {

// Too long a path ends the process.
void CopyPath(const char* from, std::array<char, 144>& to);

void Note(FaultState& state, JournalOp op, const char* path, int64_t size = 0,
          const char* other = "", const char* kept = "");

// Before `path` is opened with `flags`: if it is for writing, it is new,
// emptied (then the old one is as good as removed), or as it was.
void NoteOpening(FaultState& state, const char* path, int flags);

// Before `size` bytes are written at `offset`: those that go with it.
void NoteOverwriting(FaultState& state, const char* path, int64_t offset,
                     size_t size);

// As unlink() and rename(), but what was there is kept.
int NoteAndRemove(FaultState& state, const char* path);
int NoteAndRename(FaultState& state, const char* from, const char* to);

// rename() itself.
int RawRename(const char* from, const char* to);

}  // namespace ovdiff::store::torture

#endif  // OVDIFF_TESTS_STORE_TORTURE_FAULT_JOURNAL_H_
