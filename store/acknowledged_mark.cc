#include "store/acknowledged_mark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "store/bytes.h"
#include "store/envelope.h"

namespace ovdiff::store {
namespace {

namespace fs = std::filesystem;

// Two copies are written in turn, each within one sector of the disk, so that a
// write that is torn leaves the other.
constexpr size_t kCopyBytes = 512;
constexpr size_t kNumCopies = 2;
constexpr size_t kRecordBytes = kEnvelopeBytes + 4 * 8 + 32;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
}

// Closes a file descriptor that is only read.
class ScopedFd {
 public:
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd() {
    if (fd_ >= 0) close(fd_);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::string Encode(const Mark& mark) {
  ByteWriter writer;
  writer.U64(mark.generation);
  writer.U64(mark.sequence);
  writer.U64(mark.manifest_number);
  writer.U64(mark.manifest_bytes);
  writer.Digest(mark.manifest_digest);
  std::string copy =
      SealEnvelope(RecordType::kMark, PayloadType::kNone, writer.Take());
  copy.resize(kCopyBytes, '\0');
  return copy;
}

absl::StatusOr<Mark> Decode(absl::string_view copy) {
  OVDIFF_ASSIGN_OR_RETURN(
      const OpenedEnvelope envelope,
      OpenEnvelope(RecordType::kMark, copy.substr(0, kRecordBytes)));
  ByteReader reader(envelope.payload);
  Mark mark;
  mark.generation = reader.U64();
  mark.sequence = reader.U64();
  mark.manifest_number = reader.U64();
  mark.manifest_bytes = reader.U64();
  mark.manifest_digest = reader.Digest();
  return mark;
}

// The number of the manifest that CURRENT names. kDataLoss if it names none.
absl::StatusOr<uint64_t> CurrentManifest(const std::string& folder) {
  std::ifstream file(folder + "/CURRENT");
  std::string name;
  std::getline(file, name);
  absl::string_view digits = name;
  uint64_t number = 0;
  if (!absl::ConsumePrefix(&digits, "MANIFEST-") ||
      !absl::SimpleAtoi(digits, &number)) {
    return absl::DataLossError(
        "its file CURRENT does not name a manifest: it is damaged");
  }
  return number;
}

std::string ManifestPath(const std::string& folder, uint64_t number) {
  std::string digits = absl::StrCat(number);
  return absl::StrCat(
      folder, "/MANIFEST-",
      std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0'), digits);
}

// A file whose copies say nothing; there whole or not at all, also after a
// power cut.
absl::Status MakeFile(const std::string& folder) {
  const std::string path = MarkPath(folder);
  const std::string temporary = path + ".tmp";
  {
    const ScopedFd fd(open(temporary.c_str(),
                           O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    const std::string copies = Encode({}) + Encode({});
    if (fd.get() < 0 ||
        write(fd.get(), copies.data(), copies.size()) !=
            static_cast<ssize_t>(copies.size()) ||
        fsync(fd.get()) != 0) {
      return Failed("write", temporary);
    }
  }
  const ScopedFd parent(open(folder.c_str(), O_RDONLY | O_CLOEXEC));
  if (rename(temporary.c_str(), path.c_str()) != 0 || parent.get() < 0 ||
      fsync(parent.get()) != 0) {
    return Failed("make", path);
  }
  return absl::OkStatus();
}

// Of the first `bytes` bytes of `fd`; kDataLoss if there are fewer.
absl::StatusOr<Sha256Digest> DigestOfPrefix(int fd, uint64_t bytes) {
  Sha256 hash;
  std::array<char, 64 << 10> buffer;
  for (uint64_t at = 0; at < bytes;) {
    const ssize_t got =
        pread(fd, buffer.data(), std::min<uint64_t>(buffer.size(), bytes - at),
              static_cast<off_t>(at));
    if (got <= 0) {
      return absl::DataLossError(
          absl::StrCat("its manifest has ", at, " bytes and had ", bytes,
                       " when a write was acknowledged: it is cut short"));
    }
    hash.Update(absl::string_view(buffer.data(), static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  return hash.Finish();
}

}  // namespace

std::string MarkPath(const std::string& folder) { return folder + "/ACKED"; }

absl::StatusOr<Mark> ReadMark(const std::string& folder) {
  const std::string path = MarkPath(folder);
  const ScopedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return errno == ENOENT ? absl::NotFoundError("no file ACKED")
                           : Failed("open", path);
  }
  absl::StatusOr<Mark> newest = absl::DataLossError("no copy is there");
  for (size_t i = 0; i < kNumCopies; ++i) {
    std::string copy(kCopyBytes, '\0');
    const ssize_t got = pread(fd.get(), copy.data(), copy.size(),
                              static_cast<off_t>(i * kCopyBytes));
    if (got < 0) {
      return Failed("read", path);
    }
    copy.resize(static_cast<size_t>(got));
    absl::StatusOr<Mark> mark = Decode(copy);
    if (absl::IsFailedPrecondition(mark.status())) {
      return mark;  // Of a newer format: not ours to judge.
    }
    if (mark.ok() ? !newest.ok() || mark->generation > newest->generation
                  : !newest.ok()) {
      newest = std::move(mark);
    }
  }
  if (!newest.ok()) {
    return absl::DataLossError(
        absl::StrCat("its file ACKED is damaged: ", newest.status().message()));
  }
  return newest;
}

absl::Status CheckManifest(const std::string& folder, const Mark& mark) {
  OVDIFF_ASSIGN_OR_RETURN(const uint64_t current, CurrentManifest(folder));
  if (mark.manifest_number == 0 || current > mark.manifest_number) {
    return absl::OkStatus();  // A new manifest was begun since.
  }
  if (current < mark.manifest_number) {
    return absl::DataLossError(
        absl::StrCat("its manifest is number ", current, " and was number ",
                     mark.manifest_number, " when a write was acknowledged"));
  }
  const std::string path = ManifestPath(folder, current);
  const ScopedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return absl::DataLossError(absl::StrCat(
        "its manifest ", path, " cannot be opened: ", std::strerror(errno)));
  }
  OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest digest,
                          DigestOfPrefix(fd.get(), mark.manifest_bytes));
  if (digest != mark.manifest_digest) {
    return absl::DataLossError(
        absl::StrCat("its manifest ", path,
                     " is not what it was when a write was "
                     "acknowledged: it is damaged"));
  }
  return absl::OkStatus();
}

absl::Status RestoreCurrent(const std::string& folder) {
  std::error_code error;
  const auto is_there = [&](uint64_t number) {
    return fs::exists(ManifestPath(folder, number), error);
  };
  const auto current = CurrentManifest(folder);
  if (current.ok() && is_there(*current)) {
    return absl::OkStatus();
  }
  uint64_t newest = 0;
  for (fs::directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    const std::string name = file->path().filename();
    absl::string_view digits = name;
    uint64_t number = 0;
    if (absl::ConsumePrefix(&digits, "MANIFEST-") &&
        absl::SimpleAtoi(digits, &number)) {
      newest = std::max(newest, number);
    }
  }
  const auto mark = ReadMark(folder);
  if (mark.ok() && mark->manifest_number != 0 &&
      is_there(mark->manifest_number)) {
    newest = mark->manifest_number;
  }
  if (newest == 0) {
    return absl::OkStatus();
  }
  const std::string path = folder + "/CURRENT";
  std::ofstream file(path + ".tmp");
  file << fs::path(ManifestPath(folder, newest)).filename().string() << "\n";
  file.close();
  if (!file || rename((path + ".tmp").c_str(), path.c_str()) != 0) {
    return Failed("write", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AcknowledgedMark>> AcknowledgedMark::Open(
    const std::string& folder) {
  const absl::StatusOr<Mark> known = ReadMark(folder);
  if (!known.ok()) {
    OVDIFF_RETURN_IF_ERROR(MakeFile(folder));
  }
  const Mark mark = known.ok() ? *known : Mark();
  const std::string path = MarkPath(folder);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return Failed("open", path);
  }
  return std::unique_ptr<AcknowledgedMark>(
      new AcknowledgedMark(folder, fd, mark));
}

AcknowledgedMark::AcknowledgedMark(std::string folder, int fd, Mark mark)
    : folder_(std::move(folder)), fd_(fd), mark_(mark) {}

AcknowledgedMark::~AcknowledgedMark() { close(fd_); }

absl::Status AcknowledgedMark::Advance(uint64_t sequence) {
  MutexLock lock(&mutex_);
  if (sequence <= mark_.sequence) {
    return absl::OkStatus();  // A later write has taken this one along.
  }
  Mark mark = mark_;
  mark.sequence = sequence;
  return Write(mark);
}

absl::Status AcknowledgedMark::Reset(uint64_t sequence) {
  {
    MutexLock lock(&mutex_);
    mark_.sequence = sequence;
    mark_.manifest_bytes = 0;
  }
  return NoteManifest();
}

absl::Status AcknowledgedMark::NoteManifest() {
  MutexLock lock(&mutex_);
  OVDIFF_ASSIGN_OR_RETURN(const uint64_t number, CurrentManifest(folder_));
  const std::string path = ManifestPath(folder_, number);
  const ScopedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat file;
  // What is noted must not be lost to a power cut: hence the sync.
  if (fd.get() < 0 || fstat(fd.get(), &file) != 0 || fdatasync(fd.get()) != 0) {
    return Failed("read", path);
  }
  Mark mark = mark_;
  mark.manifest_number = number;
  mark.manifest_bytes = static_cast<uint64_t>(file.st_size);
  if (mark.manifest_number == mark_.manifest_number &&
      mark.manifest_bytes == mark_.manifest_bytes) {
    return absl::OkStatus();
  }
  OVDIFF_ASSIGN_OR_RETURN(mark.manifest_digest,
                          DigestOfPrefix(fd.get(), mark.manifest_bytes));
  return Write(mark);
}

absl::Status AcknowledgedMark::Write(Mark mark) {
  ++mark.generation;
  const std::string copy = Encode(mark);
  const auto offset =
      static_cast<off_t>(mark.generation % kNumCopies * kCopyBytes);
  if (pwrite(fd_, copy.data(), copy.size(), offset) !=
          static_cast<ssize_t>(copy.size()) ||
      fdatasync(fd_) != 0) {
    return Failed("write", MarkPath(folder_));
  }
  mark_ = mark;
  return absl::OkStatus();
}

}  // namespace ovdiff::store
