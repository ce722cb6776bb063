#include "tests/store/torture/fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/store/torture/fault_journal.h"

namespace ovdiff::store::torture {
namespace {

std::atomic<FaultState*> installed{nullptr};

// What an open descriptor is. Never freed: a child lives for seconds, and a
// reader may hold one.
struct OpenFile {
  FileKind kind;
  std::array<char, 144> path;
};
constexpr int kMaxDescriptors = 4096;
std::array<std::atomic<OpenFile*>, kMaxDescriptors> open_files{};

FaultState* StateFor(const char* path) {
  FaultState* state = installed.load(std::memory_order_acquire);
  if (state == nullptr ||
      strncmp(path, state->root.data(), strlen(state->root.data())) != 0) {
    return nullptr;
  }
  return state;
}

OpenFile* FileAt(int fd) {
  return fd >= 0 && fd < kMaxDescriptors ? open_files[fd].load() : nullptr;
}

FaultState* StateFor(const OpenFile* file) {
  return file == nullptr ? nullptr : installed.load(std::memory_order_acquire);
}

bool IsThread(FaultThread wanted) {
  if (wanted == FaultThread::kAny) {
    return true;
  }
  char name[16] = {};
  prctl(PR_GET_NAME, name);
  return strncmp(name,
                 wanted == FaultThread::kFlush ? "rocksdb:high" : "rocksdb:low",
                 11) == 0;
}

[[noreturn]] void Die() {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) {
    pause();
  }
}

// The action that this call meets, counted.
FaultAction Meet(FaultState& state, FileOp op, FileKind kind) {
  FaultPlan& plan = state.plan;
  const FaultAction action = plan.action.load();
  if (action == FaultAction::kNone || plan.op != op ||
      kind == FileKind::kInfoLog ||
      (plan.kind != FileKind::kAny && plan.kind != kind) ||
      !IsThread(plan.thread) || plan.countdown.fetch_sub(1) > 0) {
    return FaultAction::kNone;
  }
  ++plan.hits;
  if (action == FaultAction::kKillBefore) {
    Die();
  }
  if (action == FaultAction::kFail) {
    errno = plan.error;
  }
  return action;
}

void Remember(int fd, const char* path) {
  if (fd < 0 || fd >= kMaxDescriptors) {
    return;
  }
  struct stat found;
  const bool is_folder =
      syscall(SYS_fstat, fd, &found) == 0 && S_ISDIR(found.st_mode);
  auto* file = new OpenFile;
  file->kind = is_folder ? FileKind::kFolder : KindOf(path);
  CopyPath(path, file->path);
  open_files[fd] = file;
}

int Open(const char* path, int flags, mode_t mode) {
  FaultState* state = StateFor(path);
  if (state == nullptr) {
    const int fd =
        static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
    if (fd >= 0 && fd < kMaxDescriptors) {
      open_files[fd] = nullptr;  // It may have been closed behind our back.
    }
    return fd;
  }
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  FaultAction action = FaultAction::kNone;
  if (writes) {
    action = Meet(*state, FileOp::kOpen, KindOf(path));
    if (action == FaultAction::kFail) {
      return -1;
    }
    if (state->keep_journal) {
      NoteOpening(*state, path, flags);
    }
  }
  const int fd =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (action == FaultAction::kKillAfter) {
    Die();
  }
  Remember(fd, path);
  return fd;
}

// `offset` -1: at the end.
template <typename Call>
ssize_t Write(int fd, int64_t offset, size_t size, const Call& call) {
  const OpenFile* file = FileAt(fd);
  FaultState* state = StateFor(file);
  const FaultAction action = state == nullptr
                                 ? FaultAction::kNone
                                 : Meet(*state, FileOp::kWrite, file->kind);
  if (action == FaultAction::kFail) {
    return -1;
  }
  if (state != nullptr && state->keep_journal && offset >= 0) {
    NoteOverwriting(*state, file->path.data(), offset, size);
  }
  const ssize_t written =
      call(action == FaultAction::kKillTorn ? size / 2 : size);
  if (action != FaultAction::kNone) {
    Die();
  }
  return written;
}

int Sync(int fd, int64_t number) {
  const OpenFile* file = FileAt(fd);
  FaultState* state = StateFor(file);
  if (state == nullptr) {
    return static_cast<int>(syscall(number, fd));
  }
  const bool is_folder = file->kind == FileKind::kFolder;
  struct stat found {};
  syscall(SYS_fstat, fd, &found);  // What is written later may not be synced.
  const FaultAction action = Meet(*state, FileOp::kSync, file->kind);
  if (action == FaultAction::kFail) {
    const int error = errno;
    if (state->keep_journal && !is_folder) {
      Note(*state, JournalOp::kSyncFailed, file->path.data(), found.st_size);
    }
    errno = error;
    return -1;
  }
  int result = 0;
  if (!state->keep_journal) {
    result = static_cast<int>(syscall(number, fd));
  } else if (is_folder) {
    Note(*state, JournalOp::kFolderSync, file->path.data());
  } else if (!state->syncs_lie) {
    Note(*state, JournalOp::kSync, file->path.data(), found.st_size);
  }
  if (action != FaultAction::kNone) {
    Die();
  }
  return result;
}

ssize_t Read(int fd, void* to, size_t size, off_t offset) {
  const OpenFile* file = FileAt(fd);
  FaultState* state = StateFor(file);
  if (state != nullptr &&
      Meet(*state, FileOp::kRead, file->kind) == FaultAction::kFail) {
    return -1;
  }
  return syscall(SYS_pread64, fd, to, size, offset);
}

int OpenFlags(const char* mode) {
  int flags = strchr(mode, '+') != nullptr ? O_RDWR
              : mode[0] == 'r'             ? O_RDONLY
                                           : O_WRONLY;
  flags |= mode[0] == 'w' ? O_CREAT | O_TRUNC : 0;
  flags |= mode[0] == 'a' ? O_CREAT | O_APPEND : 0;
  flags |= strchr(mode, 'x') != nullptr ? O_EXCL : 0;
  flags |= strchr(mode, 'e') != nullptr ? O_CLOEXEC : 0;
  return flags;
}

FILE* OpenStream(const char* path, const char* mode) {
  const int fd = Open(path, OpenFlags(mode), 0666);
  return fd < 0 ? nullptr : fdopen(fd, mode);
}

int64_t ClockOffset() {
  const FaultState* state = installed.load(std::memory_order_acquire);
  return state == nullptr ? 0 : state->clock_offset_seconds.load();
}

}  // namespace

void InstallFaults(FaultState* state) {
  installed.store(state, std::memory_order_release);
}

}  // namespace ovdiff::store::torture

// libc's functions, as this executable has them.
namespace torture = ovdiff::store::torture;

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return torture::Open(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return torture::Open(path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  return torture::OpenStream(path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  return torture::OpenStream(path, mode);
}

int close(int fd) {
  if (fd >= 0 && fd < torture::kMaxDescriptors) {
    torture::open_files[fd] = nullptr;
  }
  return static_cast<int>(syscall(SYS_close, fd));
}

ssize_t write(int fd, const void* bytes, size_t size) {
  return torture::Write(fd, -1, size, [&](size_t now) {
    return syscall(SYS_write, fd, bytes, now);
  });
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  return torture::Write(fd, -1, 0, [&](size_t /*now*/) {
    return syscall(SYS_writev, fd, parts, count);
  });
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return torture::Write(fd, offset, size, [&](size_t now) {
    return syscall(SYS_pwrite64, fd, bytes, now, offset);
  });
}

ssize_t pread(int fd, void* to, size_t size, off_t offset) {
  return torture::Read(fd, to, size, offset);
}

int fsync(int fd) { return torture::Sync(fd, SYS_fsync); }

int fdatasync(int fd) { return torture::Sync(fd, SYS_fdatasync); }

int rename(const char* from, const char* to) noexcept {
  auto* state = torture::StateFor(to);
  if (state == nullptr) {
    return torture::RawRename(from, to);
  }
  const auto action =
      torture::Meet(*state, torture::FileOp::kRename, torture::KindOf(to));
  if (action == torture::FaultAction::kFail) {
    return -1;
  }
  const int result = state->keep_journal
                         ? torture::NoteAndRename(*state, from, to)
                         : torture::RawRename(from, to);
  if (action != torture::FaultAction::kNone) {
    torture::Die();
  }
  return result;
}

int unlink(const char* path) noexcept {
  auto* state = torture::StateFor(path);
  if (state == nullptr) {
    return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  }
  const auto action =
      torture::Meet(*state, torture::FileOp::kRemove, torture::KindOf(path));
  if (action == torture::FaultAction::kFail) {
    return -1;
  }
  const int result =
      state->keep_journal
          ? torture::NoteAndRemove(*state, path)
          : static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  if (action != torture::FaultAction::kNone) {
    torture::Die();
  }
  return result;
}

int clock_gettime(clockid_t clock, struct timespec* now) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (clock == CLOCK_REALTIME) {
    now->tv_sec += torture::ClockOffset();
  }
  return result;
}

int gettimeofday(struct timeval* now, void* /*zone*/) noexcept {
  timespec read;
  const int result = clock_gettime(CLOCK_REALTIME, &read);
  now->tv_sec = read.tv_sec;
  now->tv_usec = read.tv_nsec / 1000;
  return result;
}

time_t time(time_t* to) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to != nullptr) {
    *to = now.tv_sec;
  }
  return now.tv_sec;
}

}  // extern "C"
