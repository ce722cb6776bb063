#include "server/pack_spool.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

// Where the filesystem has no nameless files: one whose name goes at once.
int OpenUnlinked(const std::string& folder) {
  std::string path = folder + "/ovdiff-import-XXXXXX";
  const int file = mkostemp(path.data(), O_CLOEXEC);
  if (file >= 0) {
    unlink(path.c_str());
  }
  return file;
}

absl::Status Full(const std::string& message) {
  return WithReason(absl::ResourceExhaustedError(message),
                    reasons::kResourceExhausted);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackSpool>> PackSpool::Create(
    const Options& options) {
  int file = open(options.folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) {
    file = OpenUnlinked(options.folder);
  }
  if (file < 0) {
    return absl::UnavailableError(absl::StrCat(
        "no file for imports can be made in ", options.folder, ": ",
        std::strerror(errno), "; --spool-dir sets another folder"));
  }
  return absl::WrapUnique(new PackSpool(options, file));
}

PackSpool::~PackSpool() { close(file_); }

absl::Status PackSpool::Append(absl::string_view bytes) {
  if (static_cast<int64_t>(bytes.size()) > options_.max_bytes - size_) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          "the pack has more than ", options_.max_bytes,
                          " bytes, which is the limit (max_pack_bytes)")),
                      reasons::kPackTooLarge);
  }
  struct statvfs volume;
  if (fstatvfs(file_, &volume) == 0) {
    const auto free_bytes = static_cast<int64_t>(volume.f_bavail) *
                            static_cast<int64_t>(volume.f_frsize);
    if (free_bytes - static_cast<int64_t>(bytes.size()) <
        options_.min_free_bytes) {
      return Full(absl::StrCat("the volume for imports has ", free_bytes,
                               " bytes free; ", options_.min_free_bytes,
                               " must stay free"));
    }
  }
  while (!bytes.empty()) {
    const ssize_t written = write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      const std::string what = absl::StrCat(
          "cannot keep the pack while it comes in: ", std::strerror(errno));
      return errno == ENOSPC || errno == EDQUOT ? Full(what)
                                                : absl::UnavailableError(what);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    size_ += written;
  }
  return absl::OkStatus();
}

store::PackSource PackSpool::Source() const {
  return [file = file_, position = off_t{0}](
             char* buffer, size_t size) mutable -> absl::StatusOr<size_t> {
    ssize_t taken = 0;
    do {
      taken = pread(file, buffer, size, position);
    } while (taken < 0 && errno == EINTR);
    if (taken < 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot read the pack back: ", std::strerror(errno)));
    }
    position += taken;
    return static_cast<size_t>(taken);
  };
}

}  // namespace ovdiff::server
