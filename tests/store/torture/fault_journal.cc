#include "tests/store/torture/fault_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ovdiff::store::torture {
namespace {

JournalEntry& NewEntry(FaultState& state) {
  const int64_t place = state.journal_size.fetch_add(1);
  if (place >= kMaxJournal) {
    fprintf(stderr, "torture: the journal is full\n");
    abort();
  }
  return state.journal[static_cast<size_t>(place)];
}

int64_t SizeAt(const char* path) {
  struct stat found;
  return syscall(SYS_newfstatat, AT_FDCWD, path, &found, 0) == 0 ? found.st_size
                                                                 : -1;
}

std::array<char, 144> TrashName(FaultState& state) {
  static std::atomic<int64_t> next{0};
  std::array<char, 144> name;
  CopyPath(
      absl::StrCat(state.root.data(), ".trash/", next.fetch_add(1)).c_str(),
      name);
  return name;
}

}  // namespace

void CopyPath(const char* from, std::array<char, 144>& to) {
  if (strlen(from) >= to.size()) {
    fprintf(stderr, "torture: path too long: %s\n", from);
    abort();
  }
  strcpy(to.data(), from);
}

void Note(FaultState& state, JournalOp op, const char* path, int64_t size,
          const char* other, const char* kept) {
  JournalEntry& entry = NewEntry(state);
  CopyPath(path, entry.path);
  CopyPath(other, entry.other);
  CopyPath(kept, entry.kept);
  entry.size = size;
  entry.op.store(op, std::memory_order_release);
}

int RawRename(const char* from, const char* to) {
  return static_cast<int>(syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}

int NoteAndRemove(FaultState& state, const char* path) {
  if (SizeAt(path) < 0) {
    errno = ENOENT;
    return -1;
  }
  const auto trash = TrashName(state);
  Note(state, JournalOp::kRemove, path, 0, trash.data());
  return RawRename(path, trash.data());
}

int NoteAndRename(FaultState& state, const char* from, const char* to) {
  std::array<char, 144> kept{};
  if (SizeAt(to) >= 0) {
    kept = TrashName(state);
    if (syscall(SYS_linkat, AT_FDCWD, to, AT_FDCWD, kept.data(), 0) != 0) {
      return -1;
    }
  }
  Note(state, JournalOp::kRename, from, 0, to, kept.data());
  return RawRename(from, to);
}

// A file that is opened for writing: new, emptied (then the old one is as good
// as removed), or as it was.
void NoteOpening(FaultState& state, const char* path, int flags) {
  if ((flags & O_ACCMODE) == O_RDONLY) {
    return;
  }
  const int64_t size = SizeAt(path);
  if (size >= 0 && (flags & O_TRUNC) == 0) {
    Note(state, JournalOp::kOpen, path, size);
    return;
  }
  if (size >= 0) {
    NoteAndRemove(state, path);
  }
  if ((flags & O_CREAT) != 0) {
    Note(state, JournalOp::kCreate, path);
  }
}

// Before `size` bytes are written at `offset`: those that go with it.
void NoteOverwriting(FaultState& state, const char* path, int64_t offset,
                     size_t size) {
  const int64_t over =
      std::min<int64_t>(static_cast<int64_t>(size), SizeAt(path) - offset);
  if (over <= 0) {
    return;
  }
  if (over > static_cast<int64_t>(kMaxOverwrite)) {
    fprintf(stderr, "torture: %s: too much is overwritten\n", path);
    abort();
  }
  JournalEntry& entry = NewEntry(state);
  CopyPath(path, entry.path);
  entry.size = over;
  entry.offset = offset;
  // The file may be open for writing only.
  const auto reader =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, 0, 0));
  syscall(SYS_pread64, reader, entry.before.data(), over, offset);
  syscall(SYS_close, reader);
  entry.op.store(JournalOp::kOverwrite, std::memory_order_release);
}

}  // namespace ovdiff::store::torture
