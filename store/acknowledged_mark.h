// AcknowledgedMark: a small file beside the database that says how far the
// acknowledged writes go. RocksDB takes a damaged log or manifest for one that
// ends there, and forgets the rest without a word; against this file that
// shows. Layout: store/FORMAT.md, "Acknowledged mark".
#ifndef OVDIFF_STORE_ACKNOWLEDGED_MARK_H_
#define OVDIFF_STORE_ACKNOWLEDGED_MARK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/mutex.h"
#include "engine/base/sha256.h"

namespace ovdiff::store {

struct Mark {
  uint64_t generation = 0;  // Of the mark itself: one more each time.
  uint64_t sequence = 0;    // RocksDB's number of the last acknowledged write.
  // The manifest that was current, and its first bytes, which never change.
  uint64_t manifest_number = 0;
  uint64_t manifest_bytes = 0;
  Sha256Digest manifest_digest{};
};

std::string MarkPath(const std::string& folder);

// kNotFound if there is no file, kDataLoss if no copy in it is whole.
absl::StatusOr<Mark> ReadMark(const std::string& folder);

// Whether the manifest is what the mark says, and CURRENT names one. kDataLoss
// if not. To be asked before RocksDB opens the database: it would go on from
// what it can read, and delete the files that only the rest names.
absl::Status CheckManifest(const std::string& folder, const Mark& mark);

// Where the file CURRENT is missing or names no manifest that is there: writes
// it anew, naming the mark's manifest, else the newest. Nothing is done if
// there is no manifest either.
absl::Status RestoreCurrent(const std::string& folder);

// Thread-safe.
class AcknowledgedMark {
 public:
  // Makes the file if there is none.
  static absl::StatusOr<std::unique_ptr<AcknowledgedMark>> Open(
      const std::string& folder);
  ~AcknowledgedMark();
  AcknowledgedMark(const AcknowledgedMark&) = delete;
  AcknowledgedMark& operator=(const AcknowledgedMark&) = delete;

  // To be called when writes up to `sequence` are durable, before they are
  // acknowledged. OK: so is the mark.
  absl::Status Advance(uint64_t sequence);
  // To be called when files have come or gone.
  absl::Status NoteManifest();
  // Takes the store as it is: also back to a lower sequence.
  absl::Status Reset(uint64_t sequence);

 private:
  AcknowledgedMark(std::string folder, int fd, Mark mark);

  absl::Status Write(Mark mark) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string folder_;
  const int fd_;
  Mutex mutex_;
  Mark mark_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_ACKNOWLEDGED_MARK_H_
