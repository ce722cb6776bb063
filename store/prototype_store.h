// PrototypeStore: prototype sets and support pictures by content key, and the
// vocabularies that name them. On-disk format: store/FORMAT.md.
#ifndef OVDIFF_STORE_PROTOTYPE_STORE_H_
#define OVDIFF_STORE_PROTOTYPE_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/method_options.h"
#include "engine/base/prototype_set.h"
#include "engine/base/sha256.h"

namespace ovdiff::store {

// Names content, never a team: SHA-256 over (prompt spec, generator
// fingerprint[, encoder fingerprint]).
using ContentKey = Sha256Digest;

// Key of the support pictures of `prompt`, normalised as the tokenizer reads it
// (NFC, lower case, single spaces: the caller does that).
ContentKey SupportKey(const std::string& prompt,
                      const Sha256Digest& generator_fingerprint);
// Key of the prototype set made of them.
ContentKey PrototypeKey(const std::string& prompt,
                        const Sha256Digest& generator_fingerprint,
                        const Sha256Digest& encoder_fingerprint);

// What is kept under a PrototypeKey. Immutable once written.
struct PrototypeRecord {
  std::string prompt;
  Sha256Digest generator_fingerprint{};
  Sha256Digest encoder_fingerprint{};
  absl::Time create_time;
  PrototypeSet set;
};

// One support picture as kept under a SupportKey: the lossless file and its
// attribution map (row-major, values >= 0).
struct SupportPictureRecord {
  std::string png;
  int32_t attribution_width = 0;
  int32_t attribution_height = 0;
  std::vector<float> attribution;
  // The mask that came with the picture, a lossless file of one channel and of
  // the picture's size, 0 where the object is not. Empty: it came with none.
  std::string mask_png;
  // 0: it shows the class. n: it shows the n-th thing that the class is not.
  uint8_t negative = 0;
};

struct SupportRecord {
  std::string prompt;
  Sha256Digest generator_fingerprint{};
  absl::Time create_time;
  std::vector<SupportPictureRecord> pictures;
};

// A vocabulary's name within a project. Projects are namespaces: their names
// never enter a content key.
struct VocabularyId {
  std::string project = "default";
  std::string name;
};

struct ClassEntry {
  std::string name;    // As the caller wrote it; unique in its vocabulary.
  std::string prompt;  // What was painted.
  ClassKind kind = ClassKind::kThing;
  // Label and colour: 1…65535, given once per name in a vocabulary and kept for
  // as long as the vocabulary exists, also when a class goes and comes back.
  uint16_t label = 0;
  ContentKey prototype_key{};
  ContentKey support_key{};
  absl::Time add_time;
};

// One immutable version.
struct Vocabulary {
  VocabularyId id;
  int64_t version = 0;  // 1, 2, …; each completed change adds one.
  absl::Time create_time;
  std::vector<ClassEntry> classes;  // By label, ascending.
};

struct VocabularySummary {
  VocabularyId id;
  // The head. 0 if its record is damaged: then the rest is not known either,
  // and GetVocabulary() says why.
  int64_t version = 0;
  absl::Time create_time;
  int64_t num_classes = 0;
};

// A class to publish. Without `set` the record must already be in the store.
struct NewClass {
  std::string name;
  std::string prompt;
  ClassKind kind = ClassKind::kThing;
  ContentKey prototype_key{};
  ContentKey support_key{};
  std::optional<PrototypeRecord> set;
  // The label that a name without one would like; 0: the next one. It gets it
  // if all labels given so far are below: an imported vocabulary keeps its
  // colours.
  uint16_t label = 0;
};

struct StoreStats {
  int64_t num_prototype_sets = 0;
  int64_t num_support_sets = 0;
  int64_t num_vocabularies = 0;
  int64_t num_classes = 0;  // Of the newest versions of all vocabularies.
  int64_t num_jobs = 0;
  int64_t prototype_bytes = 0;  // Of their records; likewise the next.
  int64_t support_bytes = 0;
  int64_t num_damaged = 0;  // Sets found damaged and not put again since.
  // On disk; all 0 in memory.
  int64_t disk_bytes = 0;  // All files of data.
  int64_t log_bytes = 0;   // Of these, the write-ahead log.
  int64_t dead_bytes = 0;  // Deleted or replaced; Compact() frees them.
  int64_t free_bytes = 0;  // Of the volume.
  int64_t num_background_errors = 0;  // Since it was opened.
};

enum class SetState {
  kAbsent,
  kPresent,
  kDamaged,  // A read has found it so; until it is put again.
};

class StoreAdmin;

// Thread-safe. A read sees a whole record or none. A write that returned OK
// survives kill -9 and power loss (synced). Every record is checked against its
// SHA-256 on every read. All methods may fail with
//   kDataLoss            the record is damaged (never served)
//   kResourceExhausted   the disk is full; nothing was written
//   kUnavailable         I/O error
class PrototypeStore {
 public:
  virtual ~PrototypeStore() = default;

  // kNotFound if there is none.
  virtual absl::StatusOr<PrototypeRecord> GetPrototypeSet(
      const ContentKey& key) const = 0;
  virtual absl::StatusOr<SupportRecord> GetSupportSet(
      const ContentKey& key) const = 0;
  // In the order of `keys`, each on its own: one read for all of them. Memory:
  // all of the records at once.
  virtual std::vector<absl::StatusOr<PrototypeRecord>> GetPrototypeSets(
      absl::Span<const ContentKey> keys) const = 0;
  // Whether an unharmed record is there: reads and checks it.
  virtual absl::StatusOr<bool> HasPrototypeSet(const ContentKey& key) const = 0;
  virtual absl::StatusOr<bool> HasSupportSet(const ContentKey& key) const = 0;
  // What is known without reading the sets, in the order of `keys`.
  virtual absl::StatusOr<std::vector<SetState>> PrototypeSetStates(
      absl::Span<const ContentKey> keys) const = 0;

  // Put if absent: OK and no change when the key exists; but a damaged record
  // is replaced, which is how a rebuilt one comes back. kInvalidArgument for a
  // record that breaks its type's rules (no space, non-finite value, sizes that
  // do not agree).
  virtual absl::Status PutSupportSet(const ContentKey& key,
                                     const SupportRecord& record) = 0;
  virtual absl::Status PutPrototypeSet(const ContentKey& key,
                                       const PrototypeRecord& record) = 0;

  // Adds `classes` to the vocabulary (made if need be) together with the sets
  // they bring, in one atomic synced write, and returns the new head. A name
  // that is there already is replaced (same label). If nothing changes, the
  // head is returned and no version is made. Concurrent calls queue.
  //   kInvalidArgument    duplicate names, an empty name or vocabulary name, a
  //                       name of more than 1024 bytes or with a NUL byte, no
  //                       class for a vocabulary that does not exist
  //   kNotFound           a class without `set` whose record is not in the
  //   store kResourceExhausted  all 65535 labels of the vocabulary are given
  virtual absl::StatusOr<Vocabulary> Publish(
      const VocabularyId& id, absl::Span<const NewClass> classes) = 0;

  // Makes a version without `names`. kNotFound lists the names that are not in
  // the head, or the vocabulary; then nothing changes.
  virtual absl::StatusOr<Vocabulary> RemoveClasses(
      const VocabularyId& id, absl::Span<const std::string> names) = 0;

  // version 0: the head. kNotFound names what is missing and the head's
  // version.
  virtual absl::StatusOr<Vocabulary> GetVocabulary(const VocabularyId& id,
                                                   int64_t version) const = 0;
  // At most `limit` vocabularies of `project` in byte order of their names,
  // after `after` (empty: from the first).
  virtual absl::StatusOr<std::vector<VocabularySummary>> ListVocabularies(
      const std::string& project, const std::string& after,
      int64_t limit) const = 0;

  // Job records: opaque bytes of the server, synced, checked like all others.
  virtual absl::Status PutJob(const std::string& job_id,
                              const std::string& bytes) = 0;
  virtual absl::Status DeleteJob(
      const std::string& job_id) = 0;  // OK if absent
  // All of them by id. A damaged one is left out and counted in `*damaged`.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
  ListJobs(int64_t* damaged) const = 0;

  virtual absl::StatusOr<StoreStats> Stats() const = 0;
  // OK while writes can succeed; else why not. Cheap; for readiness probes.
  virtual absl::Status Health() const = 0;

  // Looking after it: store/store_admin.h. Lives as long as the store.
  virtual StoreAdmin& admin() = 0;
};

enum class StoreMode {
  kReadWrite,
  // Writes are refused with kFailedPrecondition. A store that has lost
  // acknowledged writes can still be read; Health() says so.
  kReadOnly,
  // Read-write, accepting what is lost: the log's readable part is taken,
  // damaged sets and jobs are dropped, heads go back to their newest readable
  // version. What that cost is in the report. Copy the folder first.
  kRecover,
};

// What opening with StoreMode::kRecover did: a line for each loss and repair.
struct RecoveryReport {
  std::vector<std::string> actions;
};

struct StoreOptions {
  std::string path;  // Folder of the database.
  StoreMode mode = StoreMode::kReadWrite;
  bool create_if_missing = true;  // Never with kReadOnly.
  int64_t block_cache_bytes = int64_t{64} << 20;
  // A write is refused with kResourceExhausted when the volume has less room
  // than this plus the write and what is not flushed yet: RocksDB aborts the
  // process on a full disk (serving.md finding 2), so we never let it meet one.
  int64_t min_free_bytes = int64_t{256} << 20;
  // New prototype sets take half the space: vectors rounded to binary16, unless
  // one of the set's values is too large for it. Both kinds are always read.
  bool float16_payload = false;
};

// Opens or makes the database. Fails with
//   kNotFound            no database and !create_if_missing
//   kFailedPrecondition  another process has it open, or its format is newer
//                        (both versions in the message)
//   kDataLoss            damaged, or acknowledged writes are missing: nothing
//                        was changed, and the message says what can be done
//   kResourceExhausted   not enough room to recover; says how much is needed
// `report`, if not null, is filled with StoreMode::kRecover.
absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenRocksDbStore(
    const StoreOptions& options, RecoveryReport* report = nullptr);

// Same contract without a disk; for tests and `--store=memory`.
std::unique_ptr<PrototypeStore> NewInMemoryStore();

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PROTOTYPE_STORE_H_
