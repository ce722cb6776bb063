// The vocabularies of RecordPrototypeStore.
#include <algorithm>
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "store/keys.h"
#include "store/record_prototype_store.h"
#include "store/status_context.h"
#include "store/validation.h"
#include "store/vocabulary_edit.h"

namespace ovdiff::store {
namespace {

std::string Context(const VocabularyId& id) {
  return absl::StrCat("vocabulary '", id.name, "' of project '", id.project,
                      "'");
}

}  // namespace

absl::StatusOr<VocabularyHead> RecordPrototypeStore::GetHeadRecord(
    const VocabularyId& id) const {
  const auto bytes = tables_->Get(Table::kMeta, HeadKey(id));
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(absl::StrCat(Context(id), " does not exist"));
  }
  if (!bytes.ok()) {
    return WithContext(Context(id), bytes.status());
  }
  auto head = DecodeVocabularyHead(id, *bytes);
  if (!head.ok()) {
    return WithContext(Context(id), head.status());
  }
  return head;
}

absl::StatusOr<VersionRecord> RecordPrototypeStore::GetVersionRecord(
    const VocabularyId& id, int64_t version) const {
  const std::string context = absl::StrCat(Context(id), ", version ", version);
  const auto bytes = tables_->Get(Table::kMeta, VersionKey(id, version));
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(absl::StrCat(context, ": does not exist"));
  }
  if (!bytes.ok()) {
    return WithContext(context, bytes.status());
  }
  auto record = DecodeVersionRecord(id, version, *bytes);
  if (!record.ok()) {
    return WithContext(context, record.status());
  }
  return record;
}

absl::StatusOr<Vocabulary> RecordPrototypeStore::ReadVersion(
    const VocabularyId& id, int64_t version, VersionRecord* base) const {
  OVDIFF_ASSIGN_OR_RETURN(VersionRecord record, GetVersionRecord(id, version));
  Vocabulary vocabulary;
  vocabulary.id = id;
  vocabulary.version = version;
  vocabulary.create_time = record.create_time;
  VersionRecord whole = record;
  if (record.base_version != 0) {
    auto found = GetVersionRecord(id, record.base_version);
    if (absl::IsNotFound(found.status())) {
      return absl::DataLossError(found.status().message());
    }
    OVDIFF_RETURN_IF_ERROR(found.status());
    whole = *std::move(found);
  }
  OVDIFF_ASSIGN_OR_RETURN(vocabulary.classes, ClassesOf(record, &whole));
  if (base != nullptr) {
    *base = std::move(whole);
  }
  return vocabulary;
}

absl::StatusOr<RecordPrototypeStore::Head> RecordPrototypeStore::ReadHead(
    const VocabularyId& id) const {
  Head head;
  head.record.id = id;
  head.vocabulary.id = id;
  auto record = GetHeadRecord(id);
  if (absl::IsNotFound(record.status())) {
    return head;
  }
  OVDIFF_RETURN_IF_ERROR(record.status());
  head.record = *std::move(record);
  auto vocabulary = ReadVersion(id, head.record.version, &head.base);
  if (absl::IsNotFound(vocabulary.status())) {
    return absl::DataLossError(vocabulary.status().message());
  }
  OVDIFF_RETURN_IF_ERROR(vocabulary.status());
  head.vocabulary = *std::move(vocabulary);
  return head;
}

absl::StatusOr<Vocabulary> RecordPrototypeStore::GetVocabulary(
    const VocabularyId& id, int64_t version) const {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyId(id));
  if (version == 0) {
    OVDIFF_ASSIGN_OR_RETURN(Head head, ReadHead(id));
    if (head.record.version == 0) {
      return absl::NotFoundError(absl::StrCat(Context(id), " does not exist"));
    }
    return std::move(head.vocabulary);
  }
  auto vocabulary = ReadVersion(id, version, nullptr);
  if (absl::IsNotFound(vocabulary.status())) {
    // A vocabulary that is missing altogether says so itself.
    OVDIFF_ASSIGN_OR_RETURN(const VocabularyHead head, GetHeadRecord(id));
    return absl::NotFoundError(absl::StrCat(Context(id), " has no version ",
                                            version, "; its head is version ",
                                            head.version));
  }
  return vocabulary;
}

absl::StatusOr<std::vector<VocabularySummary>>
RecordPrototypeStore::ListVocabularies(const std::string& project,
                                       const std::string& after,
                                       int64_t limit) const {
  OVDIFF_RETURN_IF_ERROR(ValidateName("the project's name", project));
  std::vector<VocabularySummary> summaries;
  if (limit <= 0) {
    return summaries;
  }
  const std::string after_key =
      after.empty() ? "" : HeadKey({.project = project, .name = after});
  absl::Status status;
  OVDIFF_RETURN_IF_ERROR(tables_->Scan(
      Table::kMeta, HeadPrefix(project), after_key,
      [&](absl::string_view key, absl::string_view value) {
        auto id = ParseHeadKey(key);
        if (!id.ok()) {
          status = id.status();
          return false;
        }
        VocabularySummary summary;
        summary.id = *std::move(id);
        const auto head = DecodeVocabularyHead(summary.id, value);
        if (head.ok()) {
          summary.version = head->version;
          summary.create_time = head->create_time;
          summary.num_classes = head->num_classes;
        } else if (!absl::IsDataLoss(head.status())) {
          status = WithContext(Context(summary.id), head.status());
          return false;
        }
        summaries.push_back(std::move(summary));
        return static_cast<int64_t>(summaries.size()) < limit;
      }));
  OVDIFF_RETURN_IF_ERROR(status);
  return summaries;
}

absl::Status RecordPrototypeStore::AddSets(absl::Span<const NewClass> classes,
                                           RecordBatch& batch) const {
  absl::flat_hash_set<ContentKey> brought;
  for (const NewClass& new_class : classes) {
    if (new_class.set.has_value() &&
        brought.insert(new_class.prototype_key).second) {
      const absl::Status status =
          AddPrototypeSet(new_class.prototype_key, *new_class.set, batch);
      if (!status.ok()) {
        return WithContext(absl::StrCat("class '", new_class.name, "'"),
                           status);
      }
    }
    if (batch.bytes() > kMaxPayloadBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the classes bring more than ", kMaxPayloadBytes,
                       " bytes of prototype sets; publish fewer at a time"));
    }
  }
  for (const NewClass& new_class : classes) {
    if (brought.contains(new_class.prototype_key)) {
      continue;
    }
    // Known without a read: whoever publishes without a set has asked
    // HasPrototypeSet(), and a long read would hold up other writers.
    OVDIFF_ASSIGN_OR_RETURN(const std::vector<SetState> states,
                            PrototypeSetStates({&new_class.prototype_key, 1}));
    if (states[0] != SetState::kPresent) {
      return absl::NotFoundError(absl::StrCat(
          "class '", new_class.name, "': prototype set ",
          ToHex(new_class.prototype_key),
          states[0] == SetState::kDamaged ? " is damaged" : " is not",
          " in the store; bring it"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> RecordPrototypeStore::LabelFor(
    const NewClass& new_class, Head& head, RecordBatch& batch) const {
  const std::string key = LabelKey(head.record.id, new_class.name);
  const auto bytes = tables_->Get(Table::kMeta, key);
  if (!absl::IsNotFound(bytes.status())) {
    OVDIFF_RETURN_IF_ERROR(bytes.status());
    return DecodeLabel(head.record.id, new_class.name, *bytes);
  }
  if (head.record.last_label == std::numeric_limits<uint16_t>::max()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "all ", head.record.last_label,
        " labels of the vocabulary are given; start a new vocabulary"));
  }
  const auto next = static_cast<uint16_t>(head.record.last_label + 1);
  head.record.last_label = std::max(next, new_class.label);
  batch.Put(
      Table::kMeta, key,
      EncodeLabel(head.record.id, new_class.name, head.record.last_label));
  return head.record.last_label;
}

absl::StatusOr<ClassEntry> RecordPrototypeStore::MakeEntry(
    const NewClass& new_class, absl::Time now, Head& head,
    RecordBatch& batch) const {
  ClassEntry entry;
  entry.name = new_class.name;
  entry.prompt = new_class.prompt;
  entry.kind = new_class.kind;
  entry.prototype_key = new_class.prototype_key;
  entry.support_key = new_class.support_key;
  entry.add_time = now;
  const auto label = LabelFor(new_class, head, batch);
  if (!label.ok()) {
    return WithContext(absl::StrCat("class '", new_class.name, "'"),
                       label.status());
  }
  entry.label = *label;
  return entry;
}

absl::StatusOr<Vocabulary> RecordPrototypeStore::WriteNextVersion(
    absl::Time now, Head head, RecordBatch batch) {
  Vocabulary& vocabulary = head.vocabulary;
  vocabulary.version = head.record.version + 1;
  vocabulary.create_time = now;
  const VersionRecord record = MakeVersionRecord(
      vocabulary, head.record.version == 0 ? nullptr : &head.base);
  batch.Put(Table::kMeta, VersionKey(vocabulary.id, vocabulary.version),
            EncodeVersionRecord(record));
  head.record.version = vocabulary.version;
  head.record.create_time = now;
  head.record.num_classes = static_cast<uint32_t>(vocabulary.classes.size());
  batch.Put(Table::kMeta, HeadKey(vocabulary.id),
            EncodeVocabularyHead(head.record));
  OVDIFF_RETURN_IF_ERROR(tables_->Write(batch));
  return std::move(vocabulary);
}

absl::StatusOr<Vocabulary> RecordPrototypeStore::Publish(
    const VocabularyId& id, absl::Span<const NewClass> classes) {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyId(id));
  OVDIFF_RETURN_IF_ERROR(ValidateNewClasses(classes));
  MutexLock lock(&write_mutex_);
  OVDIFF_ASSIGN_OR_RETURN(Head head, ReadHead(id));
  if (classes.empty() && head.record.version == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(Context(id),
                     " does not exist and no class is given; a "
                     "vocabulary begins with one class or more"));
  }
  for (const NewClass& new_class : classes) {
    Protect(new_class.prototype_key);
    Protect(new_class.support_key);
  }
  RecordBatch batch;
  OVDIFF_RETURN_IF_ERROR(AddSets(classes, batch));
  const absl::Time now = absl::Now();
  std::vector<ClassEntry> entries;
  for (const NewClass& new_class : classes) {
    OVDIFF_ASSIGN_OR_RETURN(ClassEntry entry,
                            MakeEntry(new_class, now, head, batch));
    entries.push_back(std::move(entry));
  }
  if (PutClasses(entries, head.vocabulary.classes)) {
    OVDIFF_ASSIGN_OR_RETURN(head.vocabulary,
                            WriteNextVersion(now, head, std::move(batch)));
  } else if (!batch.empty()) {
    // The sets may still be new: rebuilt ones in place of damaged ones.
    OVDIFF_RETURN_IF_ERROR(tables_->Write(batch));
  }
  for (const NewClass& new_class : classes) {
    if (new_class.set.has_value()) {
      OVDIFF_RETURN_IF_ERROR(
          NoteState(new_class.prototype_key, absl::OkStatus()));
    }
  }
  return std::move(head.vocabulary);
}

absl::StatusOr<Vocabulary> RecordPrototypeStore::RemoveClasses(
    const VocabularyId& id, absl::Span<const std::string> names) {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyId(id));
  MutexLock lock(&write_mutex_);
  OVDIFF_ASSIGN_OR_RETURN(Head head, ReadHead(id));
  if (head.record.version == 0) {
    return absl::NotFoundError(absl::StrCat(Context(id), " does not exist"));
  }
  const absl::Status status = TakeClasses(names, head.vocabulary.classes);
  if (!status.ok()) {
    return WithContext(Context(id), status);
  }
  if (names.empty()) {
    return std::move(head.vocabulary);
  }
  return WriteNextVersion(absl::Now(), std::move(head), RecordBatch());
}

}  // namespace ovdiff::store
