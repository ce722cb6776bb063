// Sets, jobs and figures; vocabularies are in record_vocabularies.cc.
#include "store/record_prototype_store.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "store/float16.h"
#include "store/keys.h"
#include "store/status_context.h"
#include "store/validation.h"

namespace ovdiff::store {
namespace {

absl::Status CheckSize(absl::string_view what, size_t bytes) {
  if (bytes > kMaxPayloadBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " takes ", bytes, " bytes; at most ",
                     kMaxPayloadBytes, " are allowed"));
  }
  return absl::OkStatus();
}

std::string PrototypeContext(const ContentKey& key) {
  return absl::StrCat("prototype set ", ToHex(key));
}

std::string SupportContext(const ContentKey& key) {
  return absl::StrCat("support set ", ToHex(key));
}

bool AllFitFloat16(const PrototypeSet& set) {
  for (const FeatureSpacePrototypes& space : set.spaces) {
    if (!FitsFloat16(space.foreground.values) ||
        !FitsFloat16(space.background.values)) {
      return false;
    }
  }
  return true;
}

// Whether a record found with `status` is to be written: there is none, or it
// is damaged and this is the rebuilt one. Other failures come back.
absl::StatusOr<bool> IsToBeWritten(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
    return true;
  }
  OVDIFF_RETURN_IF_ERROR(status);
  return false;
}

}  // namespace

RecordPrototypeStore::RecordPrototypeStore(std::unique_ptr<RecordTables> tables,
                                           PayloadType payload_type)
    : tables_(std::move(tables)), payload_type_(payload_type) {}

absl::StatusOr<PrototypeRecord> RecordPrototypeStore::GetPrototypeSet(
    const ContentKey& key) const {
  const auto bytes = tables_->Get(Table::kPrototypes, ContentTableKey(key));
  if (!bytes.ok()) {
    return WithContext(PrototypeContext(key), bytes.status());
  }
  auto record = DecodePrototypeRecord(key, *bytes);
  if (!record.ok()) {
    return WithContext(PrototypeContext(key), record.status());
  }
  return record;
}

absl::StatusOr<SupportRecord> RecordPrototypeStore::GetSupportSet(
    const ContentKey& key) const {
  const auto bytes = tables_->Get(Table::kSupport, ContentTableKey(key));
  if (!bytes.ok()) {
    return WithContext(SupportContext(key), bytes.status());
  }
  auto record = DecodeSupportRecord(key, *bytes);
  if (!record.ok()) {
    return WithContext(SupportContext(key), record.status());
  }
  return record;
}

absl::StatusOr<bool> RecordPrototypeStore::Has(
    const std::string& entry_key) const {
  const absl::Status status = tables_->Get(Table::kMeta, entry_key).status();
  if (absl::IsNotFound(status)) {
    return false;
  }
  OVDIFF_RETURN_IF_ERROR(status);
  return true;
}

absl::StatusOr<bool> RecordPrototypeStore::HasPrototypeSet(
    const ContentKey& key) const {
  return Has(PrototypeEntryKey(key));
}

absl::StatusOr<bool> RecordPrototypeStore::HasSupportSet(
    const ContentKey& key) const {
  return Has(SupportEntryKey(key));
}

absl::Status RecordPrototypeStore::AddPrototypeSet(
    const ContentKey& key, const PrototypeRecord& record,
    RecordBatch& batch) const {
  OVDIFF_ASSIGN_OR_RETURN(const bool is_to_be_written,
                          IsToBeWritten(GetPrototypeSet(key).status()));
  if (!is_to_be_written) {
    return absl::OkStatus();
  }
  // A value beyond binary16 must not become infinite: such a set stays exact.
  const PayloadType payload_type =
      payload_type_ == PayloadType::kFloat16 && !AllFitFloat16(record.set)
          ? PayloadType::kFloat32
          : payload_type_;
  std::string bytes = EncodePrototypeRecord(key, record, payload_type);
  OVDIFF_RETURN_IF_ERROR(CheckSize("the prototype set", bytes.size()));
  batch.Put(Table::kMeta, PrototypeEntryKey(key),
            EncodeContentEntry({.key = key,
                                .record_bytes = bytes.size(),
                                .create_time = record.create_time}));
  batch.Put(Table::kPrototypes, ContentTableKey(key), std::move(bytes));
  return absl::OkStatus();
}

absl::Status RecordPrototypeStore::PutPrototypeSet(
    const ContentKey& key, const PrototypeRecord& record) {
  OVDIFF_RETURN_IF_ERROR(ValidatePrototypeRecord(record));
  MutexLock lock(&write_mutex_);
  RecordBatch batch;
  OVDIFF_RETURN_IF_ERROR(AddPrototypeSet(key, record, batch));
  return batch.empty() ? absl::OkStatus() : tables_->Write(batch);
}

absl::Status RecordPrototypeStore::PutSupportSet(const ContentKey& key,
                                                 const SupportRecord& record) {
  OVDIFF_RETURN_IF_ERROR(ValidateSupportRecord(record));
  MutexLock lock(&write_mutex_);
  OVDIFF_ASSIGN_OR_RETURN(const bool is_to_be_written,
                          IsToBeWritten(GetSupportSet(key).status()));
  if (!is_to_be_written) {
    return absl::OkStatus();
  }
  // Attributions are means of softmax outputs, often below what binary16 keeps
  // well: always exact.
  std::string bytes = EncodeSupportRecord(key, record, PayloadType::kFloat32);
  OVDIFF_RETURN_IF_ERROR(CheckSize("the support set", bytes.size()));
  RecordBatch batch;
  batch.Put(Table::kMeta, SupportEntryKey(key),
            EncodeContentEntry({.key = key,
                                .record_bytes = bytes.size(),
                                .create_time = record.create_time}));
  batch.Put(Table::kSupport, ContentTableKey(key), std::move(bytes));
  return tables_->Write(batch);
}

absl::Status RecordPrototypeStore::PutJob(const std::string& job_id,
                                          const std::string& bytes) {
  OVDIFF_RETURN_IF_ERROR(ValidateName("the job id", job_id));
  OVDIFF_RETURN_IF_ERROR(CheckSize("the job record", bytes.size()));
  RecordBatch batch;
  batch.Put(Table::kJobs, job_id, EncodeJob(job_id, bytes));
  return tables_->Write(batch);
}

absl::Status RecordPrototypeStore::DeleteJob(const std::string& job_id) {
  OVDIFF_RETURN_IF_ERROR(ValidateName("the job id", job_id));
  RecordBatch batch;
  batch.Delete(Table::kJobs, job_id);
  return tables_->Write(batch);
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
RecordPrototypeStore::ListJobs(int64_t* damaged) const {
  std::vector<std::pair<std::string, std::string>> jobs;
  int64_t num_damaged = 0;
  absl::Status status;
  OVDIFF_RETURN_IF_ERROR(tables_->Scan(
      Table::kJobs, "", "",
      [&](absl::string_view key, absl::string_view value) {
        auto job = DecodeJob(key, value);
        if (job.ok()) {
          jobs.emplace_back(std::string(key), *std::move(job));
        } else if (absl::IsDataLoss(job.status())) {
          ++num_damaged;
        } else {
          status = WithContext(absl::StrCat("job ", key), job.status());
        }
        return status.ok();
      }));
  OVDIFF_RETURN_IF_ERROR(status);
  if (damaged != nullptr) {
    *damaged = num_damaged;
  }
  return jobs;
}

absl::StatusOr<StoreStats> RecordPrototypeStore::Stats() const {
  StoreStats stats;
  const auto count = [this](const std::string& prefix, int64_t& number) {
    return tables_->Scan(Table::kMeta, prefix, "",
                         [&](absl::string_view, absl::string_view) {
                           ++number;
                           return true;
                         });
  };
  OVDIFF_RETURN_IF_ERROR(
      count(PrototypeEntryPrefix(), stats.num_prototype_sets));
  OVDIFF_RETURN_IF_ERROR(count(SupportEntryPrefix(), stats.num_support_sets));
  OVDIFF_RETURN_IF_ERROR(count(HeadPrefix(), stats.num_vocabularies));
  OVDIFF_ASSIGN_OR_RETURN(stats.disk_bytes, tables_->DiskBytes());
  return stats;
}

absl::Status RecordPrototypeStore::Health() const { return tables_->Health(); }

}  // namespace ovdiff::store
