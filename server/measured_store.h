// MeasuredStore: a store whose operations show in ovdiff_store_op_seconds.
#ifndef OVDIFF_SERVER_MEASURED_STORE_H_
#define OVDIFF_SERVER_MEASURED_STORE_H_

#include <string>
#include <utility>
#include <vector>

#include "server/metrics.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. REQUIRES: both outlive it.
class MeasuredStore final : public store::PrototypeStore {
 public:
  MeasuredStore(store::PrototypeStore& store, Metrics& metrics)
      : store_(store), metrics_(metrics) {}

  absl::StatusOr<store::PrototypeRecord> GetPrototypeSet(
      const store::ContentKey& key) const override;
  absl::StatusOr<store::SupportRecord> GetSupportSet(
      const store::ContentKey& key) const override;
  std::vector<absl::StatusOr<store::PrototypeRecord>> GetPrototypeSets(
      absl::Span<const store::ContentKey> keys) const override;
  absl::StatusOr<bool> HasPrototypeSet(
      const store::ContentKey& key) const override;
  absl::StatusOr<bool> HasSupportSet(
      const store::ContentKey& key) const override;
  absl::StatusOr<std::vector<store::SetState>> PrototypeSetStates(
      absl::Span<const store::ContentKey> keys) const override;
  absl::Status PutSupportSet(const store::ContentKey& key,
                             const store::SupportRecord& record) override;
  absl::Status PutPrototypeSet(const store::ContentKey& key,
                               const store::PrototypeRecord& record) override;
  absl::StatusOr<store::Vocabulary> Publish(
      const store::VocabularyId& id,
      absl::Span<const store::NewClass> classes) override;
  absl::StatusOr<store::Vocabulary> RemoveClasses(
      const store::VocabularyId& id,
      absl::Span<const std::string> names) override;
  absl::StatusOr<store::Vocabulary> GetVocabulary(
      const store::VocabularyId& id, int64_t version) const override;
  absl::StatusOr<std::vector<store::VocabularySummary>> ListVocabularies(
      const std::string& project, const std::string& after,
      int64_t limit) const override;
  absl::Status PutJob(const std::string& job_id,
                      const std::string& bytes) override;
  absl::Status DeleteJob(const std::string& job_id) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListJobs(
      int64_t* damaged) const override;
  absl::StatusOr<store::StoreStats> Stats() const override;
  absl::Status Health() const override;
  store::StoreAdmin& admin() override { return store_.admin(); }

 private:
  // Runs `operation` and records its time and code as `name`.
  template <typename Operation>
  auto Measure(absl::string_view name, Operation operation) const;

  store::PrototypeStore& store_;
  Metrics& metrics_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_MEASURED_STORE_H_
