// RecordPrototypeStore: the contract of PrototypeStore over RecordTables.
#ifndef OVDIFF_STORE_RECORD_PROTOTYPE_STORE_H_
#define OVDIFF_STORE_RECORD_PROTOTYPE_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/mutex.h"
#include "store/bytes.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"
#include "store/record_tables.h"
#include "store/store_admin.h"

namespace ovdiff::store {

// Thread-safe: reads take no lock, as records are immutable or replaced whole;
// whatever reads in order to write holds `write_mutex_`.
class RecordPrototypeStore final : public PrototypeStore, public StoreAdmin {
 public:
  // `payload_type`: kFloat32 or kFloat16, of the prototype sets it writes.
  RecordPrototypeStore(std::unique_ptr<RecordTables> tables,
                       PayloadType payload_type);

  absl::StatusOr<PrototypeRecord> GetPrototypeSet(
      const ContentKey& key) const override;
  absl::StatusOr<SupportRecord> GetSupportSet(
      const ContentKey& key) const override;
  std::vector<absl::StatusOr<PrototypeRecord>> GetPrototypeSets(
      absl::Span<const ContentKey> keys) const override;
  absl::StatusOr<bool> HasPrototypeSet(const ContentKey& key) const override;
  absl::StatusOr<bool> HasSupportSet(const ContentKey& key) const override;
  absl::StatusOr<std::vector<SetState>> PrototypeSetStates(
      absl::Span<const ContentKey> keys) const override;
  absl::Status PutSupportSet(const ContentKey& key,
                             const SupportRecord& record) override;
  absl::Status PutPrototypeSet(const ContentKey& key,
                               const PrototypeRecord& record) override;
  absl::StatusOr<Vocabulary> Publish(
      const VocabularyId& id, absl::Span<const NewClass> classes) override;
  absl::StatusOr<Vocabulary> RemoveClasses(
      const VocabularyId& id, absl::Span<const std::string> names) override;
  absl::StatusOr<Vocabulary> GetVocabulary(const VocabularyId& id,
                                           int64_t version) const override;
  absl::StatusOr<std::vector<VocabularySummary>> ListVocabularies(
      const std::string& project, const std::string& after,
      int64_t limit) const override;
  absl::Status PutJob(const std::string& job_id,
                      const std::string& bytes) override;
  absl::Status DeleteJob(const std::string& job_id) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListJobs(
      int64_t* damaged) const override;
  absl::StatusOr<StoreStats> Stats() const override;
  absl::Status Health() const override;
  StoreAdmin& admin() override { return *this; }

  // store/record_verify.cc and store/record_garbage.cc.
  absl::StatusOr<VerifyReport> Verify(
      const VerifyOptions& options, const CallControl& control,
      const AdminProgressCallback& on_progress) override;
  absl::StatusOr<GarbageReport> CollectGarbage(
      const GarbageOptions& options, const CallControl& control) override;
  absl::StatusOr<BackupInfo> Backup(const BackupOptions& options,
                                    const CallControl& control) override {
    return tables_->Backup(options, control);
  }
  absl::Status Compact(const CallControl& control) override {
    return tables_->Compact(control);
  }

 private:
  class Verifier;
  class GarbageCollector;
  // The head of a vocabulary with the whole version its record rests on.
  // version 0: there is no vocabulary yet.
  struct Head {
    VocabularyHead record;
    Vocabulary vocabulary;
    VersionRecord base;
  };

  absl::StatusOr<VocabularyHead> GetHeadRecord(const VocabularyId& id) const;
  absl::StatusOr<VersionRecord> GetVersionRecord(const VocabularyId& id,
                                                 int64_t version) const;
  // `base`, if not null, gets the whole version.
  absl::StatusOr<Vocabulary> ReadVersion(const VocabularyId& id,
                                         int64_t version,
                                         VersionRecord* base) const;
  absl::StatusOr<Head> ReadHead(const VocabularyId& id) const;
  absl::StatusOr<bool> HasEntry(const std::string& entry_key) const;
  // Notes whether the set is damaged, as a read that ended with `status` found
  // it, and gives `status` back.
  absl::Status NoteState(const ContentKey& key,
                         const absl::Status& status) const;
  // Says that a publish or put needs `key`, to a collection of garbage that may
  // be on its way.
  void Protect(const ContentKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  // Adds the set to `batch` unless an unharmed one is there.
  absl::Status AddPrototypeSet(const ContentKey& key,
                               const PrototypeRecord& record,
                               RecordBatch& batch) const;
  absl::Status AddSets(absl::Span<const NewClass> classes,
                       RecordBatch& batch) const;
  // The entry of a class to publish, with its label: the one given earlier or
  // the next one, which is then noted in `head` and `batch`.
  absl::StatusOr<ClassEntry> MakeEntry(const NewClass& new_class,
                                       absl::Time now, Head& head,
                                       RecordBatch& batch) const;
  absl::StatusOr<uint16_t> LabelFor(const NewClass& new_class, Head& head,
                                    RecordBatch& batch) const;
  // Writes the classes of `head` as its next version, with `batch`.
  absl::StatusOr<Vocabulary> WriteNextVersion(absl::Time now, Head head,
                                              RecordBatch batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  const std::unique_ptr<RecordTables> tables_;
  const PayloadType payload_type_;
  Mutex write_mutex_;
  Mutex garbage_mutex_;  // One collection at a time; before write_mutex_.
  // While garbage is collected: keys that became needed since it began.
  std::optional<absl::flat_hash_set<ContentKey>> protected_
      ABSL_GUARDED_BY(write_mutex_);
  mutable Mutex damaged_mutex_;
  // Content keys of sets, of both kinds, that were found damaged.
  mutable absl::flat_hash_set<ContentKey> damaged_
      ABSL_GUARDED_BY(damaged_mutex_);
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_RECORD_PROTOTYPE_STORE_H_
