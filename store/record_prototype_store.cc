// Sets, jobs and figures; vocabularies are in record_vocabularies.cc.
#include "store/record_prototype_store.h"

#include "absl/container/flat_hash_map.h"
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

// Whether an unharmed record was found, by the `status` of reading it. One that
// is damaged is as good as none: the next put replaces it. Other failures come
// back.
absl::StatusOr<bool> IsThere(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
    return false;
  }
  OVDIFF_RETURN_IF_ERROR(status);
  return true;
}

}  // namespace

RecordPrototypeStore::RecordPrototypeStore(std::unique_ptr<RecordTables> tables,
                                           PayloadType payload_type)
    : tables_(std::move(tables)), payload_type_(payload_type) {}

absl::Status RecordPrototypeStore::NoteState(const ContentKey& key,
                                             const absl::Status& status) const {
  if (status.ok() || absl::IsDataLoss(status)) {
    MutexLock lock(&damaged_mutex_);
    if (status.ok()) {
      damaged_.erase(key);
    } else {
      damaged_.insert(key);
    }
  }
  return status;
}

absl::StatusOr<PrototypeRecord> RecordPrototypeStore::GetPrototypeSet(
    const ContentKey& key) const {
  return std::move(GetPrototypeSets({&key, 1})[0]);
}

std::vector<absl::StatusOr<PrototypeRecord>>
RecordPrototypeStore::GetPrototypeSets(
    absl::Span<const ContentKey> keys) const {
  // The same key twice would confuse RocksDB's MultiGet.
  absl::flat_hash_map<ContentKey, size_t> places;
  std::vector<std::string> table_keys;
  for (const ContentKey& key : keys) {
    if (places.emplace(key, table_keys.size()).second) {
      table_keys.push_back(ContentTableKey(key));
    }
  }
  const std::vector<absl::StatusOr<std::string>> values =
      tables_->MultiGet(Table::kPrototypes, table_keys);
  std::vector<absl::StatusOr<PrototypeRecord>> records;
  records.reserve(keys.size());
  for (const ContentKey& key : keys) {
    const absl::StatusOr<std::string>& bytes = values[places.at(key)];
    absl::StatusOr<PrototypeRecord> record =
        bytes.ok() ? DecodePrototypeRecord(key, *bytes) : bytes.status();
    if (!NoteState(key, record.status()).ok()) {
      record = WithContext(PrototypeContext(key), record.status());
    }
    records.push_back(std::move(record));
  }
  return records;
}

absl::StatusOr<SupportRecord> RecordPrototypeStore::GetSupportSet(
    const ContentKey& key) const {
  const auto bytes = tables_->Get(Table::kSupport, ContentTableKey(key));
  absl::StatusOr<SupportRecord> record =
      bytes.ok() ? DecodeSupportRecord(key, *bytes) : bytes.status();
  if (!NoteState(key, record.status()).ok()) {
    return WithContext(SupportContext(key), record.status());
  }
  return record;
}

absl::StatusOr<bool> RecordPrototypeStore::HasEntry(
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
  return IsThere(GetPrototypeSet(key).status());
}

absl::StatusOr<bool> RecordPrototypeStore::HasSupportSet(
    const ContentKey& key) const {
  return IsThere(GetSupportSet(key).status());
}

absl::StatusOr<std::vector<SetState>> RecordPrototypeStore::PrototypeSetStates(
    absl::Span<const ContentKey> keys) const {
  std::vector<SetState> states;
  for (const ContentKey& key : keys) {
    const auto has_entry = HasEntry(PrototypeEntryKey(key));
    if (!has_entry.ok() && !absl::IsDataLoss(has_entry.status())) {
      return has_entry.status();
    }
    MutexLock lock(&damaged_mutex_);
    states.push_back(!has_entry.ok() || damaged_.contains(key)
                         ? SetState::kDamaged
                     : *has_entry ? SetState::kPresent
                                  : SetState::kAbsent);
  }
  return states;
}

void RecordPrototypeStore::Protect(const ContentKey& key) {
  if (protected_.has_value()) {
    protected_->insert(key);
  }
}

absl::Status RecordPrototypeStore::AddPrototypeSet(
    const ContentKey& key, const PrototypeRecord& record,
    RecordBatch& batch) const {
  OVDIFF_ASSIGN_OR_RETURN(const bool is_there, HasPrototypeSet(key));
  if (is_there) {
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
  Protect(key);
  RecordBatch batch;
  OVDIFF_RETURN_IF_ERROR(AddPrototypeSet(key, record, batch));
  if (!batch.empty()) {
    OVDIFF_RETURN_IF_ERROR(tables_->Write(batch));
  }
  return NoteState(key, absl::OkStatus());
}

absl::Status RecordPrototypeStore::PutSupportSet(const ContentKey& key,
                                                 const SupportRecord& record) {
  OVDIFF_RETURN_IF_ERROR(ValidateSupportRecord(record));
  MutexLock lock(&write_mutex_);
  Protect(key);
  OVDIFF_ASSIGN_OR_RETURN(const bool is_there, HasSupportSet(key));
  if (is_there) {
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
  OVDIFF_RETURN_IF_ERROR(tables_->Write(batch));
  return NoteState(key, absl::OkStatus());
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
  const auto add_sets = [this](const std::string& prefix, int64_t& number,
                               int64_t& bytes) {
    return tables_->Scan(
        Table::kMeta, prefix, "",
        [&](absl::string_view key, absl::string_view value) {
          ++number;
          // A damaged entry has a set, of a size that is not known.
          const auto content = ParseEntryKey(key);
          const auto entry = content.ok() ? DecodeContentEntry(*content, value)
                                          : content.status();
          bytes += entry.ok() ? static_cast<int64_t>(entry->record_bytes) : 0;
          return true;
        });
  };
  OVDIFF_RETURN_IF_ERROR(add_sets(
      PrototypeEntryPrefix(), stats.num_prototype_sets, stats.prototype_bytes));
  OVDIFF_RETURN_IF_ERROR(add_sets(SupportEntryPrefix(), stats.num_support_sets,
                                  stats.support_bytes));
  OVDIFF_RETURN_IF_ERROR(tables_->Scan(
      Table::kMeta, HeadPrefix(), "",
      [&stats](absl::string_view key, absl::string_view value) {
        ++stats.num_vocabularies;
        const auto id = ParseHeadKey(key);
        const auto head =
            id.ok() ? DecodeVocabularyHead(*id, value) : id.status();
        stats.num_classes += head.ok() ? head->num_classes : 0;
        return true;
      }));
  OVDIFF_RETURN_IF_ERROR(tables_->Scan(
      Table::kJobs, "", "", [&stats](absl::string_view, absl::string_view) {
        ++stats.num_jobs;
        return true;
      }));
  {
    MutexLock lock(&damaged_mutex_);
    stats.num_damaged = static_cast<int64_t>(damaged_.size());
  }
  OVDIFF_RETURN_IF_ERROR(tables_->AddDiskStats(stats));
  return stats;
}

absl::Status RecordPrototypeStore::Health() const { return tables_->Health(); }

}  // namespace ovdiff::store
