#include "server/measured_store.h"

#include "absl/time/clock.h"

namespace ovdiff::server {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }

template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace

template <typename Operation>
auto MeasuredStore::Measure(absl::string_view name, Operation operation) const {
  const absl::Time start = absl::Now();
  auto result = operation();
  metrics_.StoreOp(name, StatusOf(result).code(), absl::Now() - start);
  return result;
}

absl::StatusOr<store::PrototypeRecord> MeasuredStore::GetPrototypeSet(
    const store::ContentKey& key) const {
  return Measure("get_prototype_set",
                 [&] { return store_.GetPrototypeSet(key); });
}

absl::StatusOr<store::SupportRecord> MeasuredStore::GetSupportSet(
    const store::ContentKey& key) const {
  return Measure("get_support_set", [&] { return store_.GetSupportSet(key); });
}

std::vector<absl::StatusOr<store::PrototypeRecord>>
MeasuredStore::GetPrototypeSets(
    absl::Span<const store::ContentKey> keys) const {
  const absl::Time start = absl::Now();
  auto records = store_.GetPrototypeSets(keys);
  absl::StatusCode code = absl::StatusCode::kOk;
  for (const auto& record : records) {
    code = record.ok() ? code : record.status().code();
  }
  metrics_.StoreOp("get_prototype_sets", code, absl::Now() - start);
  return records;
}

absl::StatusOr<bool> MeasuredStore::HasPrototypeSet(
    const store::ContentKey& key) const {
  return Measure("has_prototype_set",
                 [&] { return store_.HasPrototypeSet(key); });
}

absl::StatusOr<bool> MeasuredStore::HasSupportSet(
    const store::ContentKey& key) const {
  return Measure("has_support_set", [&] { return store_.HasSupportSet(key); });
}

absl::StatusOr<std::vector<store::SetState>> MeasuredStore::PrototypeSetStates(
    absl::Span<const store::ContentKey> keys) const {
  return Measure("prototype_set_states",
                 [&] { return store_.PrototypeSetStates(keys); });
}

absl::Status MeasuredStore::PutSupportSet(const store::ContentKey& key,
                                          const store::SupportRecord& record) {
  return Measure("put_support_set",
                 [&] { return store_.PutSupportSet(key, record); });
}

absl::Status MeasuredStore::PutPrototypeSet(
    const store::ContentKey& key, const store::PrototypeRecord& record) {
  return Measure("put_prototype_set",
                 [&] { return store_.PutPrototypeSet(key, record); });
}

absl::StatusOr<store::Vocabulary> MeasuredStore::Publish(
    const store::VocabularyId& id, absl::Span<const store::NewClass> classes) {
  return Measure("publish", [&] { return store_.Publish(id, classes); });
}

absl::StatusOr<store::Vocabulary> MeasuredStore::RemoveClasses(
    const store::VocabularyId& id, absl::Span<const std::string> names) {
  return Measure("remove_classes",
                 [&] { return store_.RemoveClasses(id, names); });
}

absl::StatusOr<store::Vocabulary> MeasuredStore::GetVocabulary(
    const store::VocabularyId& id, int64_t version) const {
  return Measure("get_vocabulary",
                 [&] { return store_.GetVocabulary(id, version); });
}

absl::StatusOr<std::vector<store::VocabularySummary>>
MeasuredStore::ListVocabularies(const std::string& project,
                                const std::string& after, int64_t limit) const {
  return Measure("list_vocabularies", [&] {
    return store_.ListVocabularies(project, after, limit);
  });
}

absl::Status MeasuredStore::PutJob(const std::string& job_id,
                                   const std::string& bytes) {
  return Measure("put_job", [&] { return store_.PutJob(job_id, bytes); });
}

absl::Status MeasuredStore::DeleteJob(const std::string& job_id) {
  return Measure("delete_job", [&] { return store_.DeleteJob(job_id); });
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
MeasuredStore::ListJobs(int64_t* damaged) const {
  return Measure("list_jobs", [&] { return store_.ListJobs(damaged); });
}

absl::StatusOr<store::StoreStats> MeasuredStore::Stats() const {
  return store_.Stats();
}

absl::Status MeasuredStore::Health() const { return store_.Health(); }

}  // namespace ovdiff::server
