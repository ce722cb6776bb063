#include "store/repair.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "store/keys.h"
#include "store/record_codec.h"
#include "store/record_pages.h"
#include "store/vocabulary_edit.h"

namespace ovdiff::store {
namespace {

// What is known of one vocabulary.
struct Remains {
  VocabularyId id;
  std::optional<VocabularyHead> head;  // None: missing or unreadable.
  std::map<int64_t, VersionRecord> versions;
  std::set<int64_t> unreadable;
  std::map<std::string, uint16_t> labels;  // By class name.
};

class Repairer {
 public:
  Repairer(RecordTables& tables, RecoveryReport& report)
      : tables_(tables), report_(report) {}

  absl::Status Run() {
    OVDIFF_RETURN_IF_ERROR(RepairFormat());
    OVDIFF_RETURN_IF_ERROR(RepairJobs());
    OVDIFF_RETURN_IF_ERROR(ReadVocabularies());
    for (auto& [name, remains] : vocabularies_) {
      OVDIFF_RETURN_IF_ERROR(RepairVocabulary(remains));
    }
    return RepairLabels();
  }

 private:
  template <typename... Parts>
  void Say(const Parts&... parts) {
    report_.actions.push_back(absl::StrCat(parts...));
  }

  // A record of a newer format is not damaged, and not ours to drop.
  static absl::Status UnlessDamaged(const absl::Status& status) {
    return absl::IsDataLoss(status) ? absl::OkStatus() : status;
  }

  static std::string NameOf(const VocabularyId& id) {
    return absl::StrCat(id.project, "/", id.name);
  }

  Remains& RemainsOf(const VocabularyId& id) {
    Remains& remains = vocabularies_[{id.project, id.name}];
    remains.id = id;
    return remains;
  }

  absl::Status RepairFormat() {
    const auto bytes = tables_.Get(Table::kSys, kStoreFormatKey);
    OVDIFF_RETURN_IF_ERROR(bytes.status());
    const absl::Status status = DecodeStoreFormat(*bytes).status();
    if (!absl::IsDataLoss(status)) {
      return status;
    }
    RecordBatch batch;
    batch.Put(Table::kSys, std::string(kStoreFormatKey),
              EncodeStoreFormat({.create_time = absl::Now()}));
    Say("rewrote the store's format record, which was damaged");
    return tables_.Write(batch);
  }

  absl::Status RepairJobs() {
    RecordBatch batch;
    OVDIFF_RETURN_IF_ERROR(
        ForEachRow(tables_, Table::kJobs, "",
                   [&](const std::string& key, const std::string& value) {
                     const absl::Status status = DecodeJob(key, value).status();
                     if (absl::IsDataLoss(status)) {
                       Say("dropped job ", key, ": ", status.message());
                       batch.Delete(Table::kJobs, key);
                     }
                     return UnlessDamaged(status);
                   }));
    return batch.empty() ? absl::OkStatus() : tables_.Write(batch);
  }

  absl::Status ReadVocabularies() {
    OVDIFF_RETURN_IF_ERROR(ForEachRow(
        tables_, Table::kMeta, HeadPrefix(),
        [this](const std::string& key, const std::string& value) {
          OVDIFF_ASSIGN_OR_RETURN(const VocabularyId id, ParseHeadKey(key));
          Remains& remains = RemainsOf(id);
          const auto head = DecodeVocabularyHead(id, value);
          if (head.ok()) {
            remains.head = *head;
          }
          return UnlessDamaged(head.status());
        }));
    OVDIFF_RETURN_IF_ERROR(ForEachRow(
        tables_, Table::kMeta, VersionPrefix(),
        [this](const std::string& key, const std::string& value) {
          OVDIFF_ASSIGN_OR_RETURN(const VersionName name, ParseVersionKey(key));
          Remains& remains = RemainsOf(name.id);
          auto record = DecodeVersionRecord(name.id, name.version, value);
          if (record.ok()) {
            remains.versions.emplace(name.version, *std::move(record));
          } else {
            remains.unreadable.insert(name.version);
          }
          return UnlessDamaged(record.status());
        }));
    return ForEachRow(
        tables_, Table::kMeta, LabelPrefix(),
        [this](const std::string& key, const std::string& value) {
          OVDIFF_ASSIGN_OR_RETURN(const LabelName name, ParseLabelKey(key));
          const auto label = DecodeLabel(name.id, name.class_name, value);
          if (label.ok()) {
            RemainsOf(name.id).labels[name.class_name] = *label;
          } else {
            damaged_labels_.push_back(name);
          }
          return UnlessDamaged(label.status());
        });
  }

  // Takes versions out of `remains` whose base is not there; notes labels.
  static void CheckBases(Remains& remains) {
    std::set<int64_t> baseless;
    for (const auto& [number, record] : remains.versions) {
      const auto base = remains.versions.find(record.base_version);
      const VersionRecord* whole =
          base == remains.versions.end() ? nullptr : &base->second;
      if (!ClassesOf(record, whole).ok()) {
        baseless.insert(number);
      }
    }
    for (const int64_t number : baseless) {
      remains.versions.erase(number);
      remains.unreadable.insert(number);
    }
    for (const auto& [number, record] : remains.versions) {
      for (const ClassEntry& entry : record.classes) {
        remains.labels.emplace(entry.name, entry.label);
      }
    }
  }

  absl::Status RepairVocabulary(Remains& remains) {
    CheckBases(remains);
    RecordBatch batch;
    int64_t last = remains.head.has_value() ? remains.head->version : 0;
    for (const int64_t number : remains.unreadable) {
      last = std::max(last, number);
      Say("dropped version ", number, " of ", NameOf(remains.id),
          ", which is unreadable");
      batch.Delete(Table::kMeta, VersionKey(remains.id, number));
    }
    if (remains.versions.empty()) {
      Say("dropped vocabulary ", NameOf(remains.id),
          ": none of its versions is readable");
      batch.Delete(Table::kMeta, HeadKey(remains.id));
      for (const auto& [name, label] : remains.labels) {
        batch.Delete(Table::kMeta, LabelKey(remains.id, name));
      }
      return tables_.Write(batch);
    }
    last = std::max(last, remains.versions.rbegin()->first);
    const bool is_whole = remains.head.has_value() &&
                          remains.head->version == last &&
                          remains.versions.count(last) > 0;
    if (!is_whole) {
      OVDIFF_RETURN_IF_ERROR(PutHead(remains, last, batch));
    }
    return batch.empty() ? absl::OkStatus() : tables_.Write(batch);
  }

  // Version `last` + 1 with the classes of the newest readable one; or only a
  // head, if that one is `last`.
  absl::Status PutHead(const Remains& remains, int64_t last,
                       RecordBatch& batch) {
    const auto& [newest, record] = *remains.versions.rbegin();
    const auto base = remains.versions.find(record.base_version);
    OVDIFF_ASSIGN_OR_RETURN(
        std::vector<ClassEntry> classes,
        ClassesOf(record,
                  base == remains.versions.end() ? nullptr : &base->second));
    VocabularyHead head;
    head.id = remains.id;
    head.version = newest;
    head.create_time = record.create_time;
    head.num_classes = static_cast<uint32_t>(classes.size());
    head.last_label = remains.head.has_value() ? remains.head->last_label : 0;
    for (const auto& [name, label] : remains.labels) {
      head.last_label = std::max(head.last_label, label);
    }
    if (newest != last) {
      VersionRecord next;
      next.id = remains.id;
      next.version = head.version = last + 1;
      next.create_time = head.create_time = absl::Now();
      next.classes = std::move(classes);
      batch.Put(Table::kMeta, VersionKey(next.id, next.version),
                EncodeVersionRecord(next));
    }
    Say("vocabulary ", NameOf(remains.id), " is at version ", head.version,
        ", with the ", head.num_classes, " classes of version ", newest);
    batch.Put(Table::kMeta, HeadKey(head.id), EncodeVocabularyHead(head));
    return absl::OkStatus();
  }

  // A label is found again in the versions; one that is in none goes.
  absl::Status RepairLabels() {
    RecordBatch batch;
    for (const LabelName& name : damaged_labels_) {
      const std::map<std::string, uint16_t>& labels = RemainsOf(name.id).labels;
      const auto found = labels.find(name.class_name);
      const std::string key = LabelKey(name.id, name.class_name);
      if (found == labels.end()) {
        Say("dropped the label of '", name.class_name, "' in ", NameOf(name.id),
            ", which is damaged");
        batch.Delete(Table::kMeta, key);
      } else {
        Say("rewrote the label of '", name.class_name, "' in ", NameOf(name.id),
            ", which was damaged");
        batch.Put(Table::kMeta, key,
                  EncodeLabel(name.id, name.class_name, found->second));
      }
    }
    return batch.empty() ? absl::OkStatus() : tables_.Write(batch);
  }

  RecordTables& tables_;
  RecoveryReport& report_;
  std::map<std::pair<std::string, std::string>, Remains> vocabularies_;
  std::vector<LabelName> damaged_labels_;
};

}  // namespace

absl::Status RepairRecords(RecordTables& tables, RecoveryReport& report) {
  return Repairer(tables, report).Run();
}

}  // namespace ovdiff::store
