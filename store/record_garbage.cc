// RecordPrototypeStore::CollectGarbage(): marks from the versions, then sweeps
// the sets.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "store/keys.h"
#include "store/record_pages.h"
#include "store/record_prototype_store.h"
#include "store/status_context.h"

namespace ovdiff::store {

class RecordPrototypeStore::GarbageCollector {
 public:
  // REQUIRES: store.protected_ is set, and was before this began.
  GarbageCollector(RecordPrototypeStore& store, const GarbageOptions& options,
                   const CallControl& control)
      : store_(store),
        tables_(*store.tables_),
        options_(options),
        control_(control),
        needed_(options.keep.begin(), options.keep.end()) {
    report_.is_dry_run = options.dry_run;
  }

  absl::StatusOr<GarbageReport> Run() {
    OVDIFF_RETURN_IF_ERROR(ReadVersions());
    for (const auto& [name, vocabulary] : vocabularies_) {
      OVDIFF_RETURN_IF_ERROR(Mark(vocabulary));
    }
    // Versions go first: if this stops half-way, a set without a version is
    // garbage for the next time, but a version without its set is damage.
    OVDIFF_RETURN_IF_ERROR(SweepVersions());
    OVDIFF_RETURN_IF_ERROR(SweepSets(Table::kPrototypes));
    OVDIFF_RETURN_IF_ERROR(SweepSets(Table::kSupport));
    return std::move(report_);
  }

 private:
  struct Version {
    int64_t base = 0;
    int64_t bytes = 0;
  };
  struct VersionsOf {
    VocabularyId id;
    std::map<int64_t, Version> versions;
  };

  absl::Status ReadVersions() {
    return ForEachRow(
        tables_, Table::kMeta, VersionPrefix(),
        [this](const std::string& key, const std::string& value) {
          OVDIFF_RETURN_IF_ERROR(control_.Check());
          OVDIFF_ASSIGN_OR_RETURN(const VersionName name, ParseVersionKey(key));
          const auto record = DecodeVersionRecord(name.id, name.version, value);
          if (!record.ok()) {
            return WithContext(
                absl::StrCat("nothing was deleted: version ", name.version,
                             " of ", name.id.project, "/", name.id.name,
                             " is unreadable, and so is what it needs"),
                record.status());
          }
          VersionsOf& of = vocabularies_[{name.id.project, name.id.name}];
          of.id = name.id;
          of.versions[name.version] = {
              record->base_version,
              static_cast<int64_t>(key.size() + value.size())};
          return absl::OkStatus();
        });
  }

  // The oldest version that is kept for its own sake.
  int64_t OldestKept(const VersionsOf& vocabulary) const {
    const auto& versions = vocabulary.versions;
    if (options_.keep_versions <= 0 ||
        static_cast<int64_t>(versions.size()) <= options_.keep_versions) {
      return versions.begin()->first;
    }
    return std::prev(versions.end(), options_.keep_versions)->first;
  }

  // Notes what the kept versions need, and which versions are not kept.
  absl::Status Mark(const VersionsOf& vocabulary) {
    const int64_t oldest = OldestKept(vocabulary);
    std::set<int64_t> bases;
    for (const auto& [number, version] : vocabulary.versions) {
      OVDIFF_RETURN_IF_ERROR(control_.Check());
      if (number < oldest) {
        continue;
      }
      // The entries of a base that is itself kept are seen with that one; of
      // another base, only those that this version has taken over count.
      const bool is_own_enough = version.base == 0 || version.base >= oldest;
      absl::StatusOr<std::vector<ClassEntry>> classes =
          ClassesOfVersion(vocabulary.id, number, is_own_enough);
      OVDIFF_RETURN_IF_ERROR(classes.status());
      for (const ClassEntry& entry : *classes) {
        needed_.insert(entry.prototype_key);
        needed_.insert(entry.support_key);
      }
      bases.insert(version.base);
    }
    for (const auto& [number, version] : vocabulary.versions) {
      if (number < oldest && bases.count(number) == 0) {
        old_versions_.push_back({vocabulary.id, number, version.bytes});
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<ClassEntry>> ClassesOfVersion(
      const VocabularyId& id, int64_t number, bool own_only) const {
    if (own_only) {
      OVDIFF_ASSIGN_OR_RETURN(VersionRecord record,
                              store_.GetVersionRecord(id, number));
      return std::move(record.classes);
    }
    OVDIFF_ASSIGN_OR_RETURN(Vocabulary vocabulary,
                            store_.ReadVersion(id, number, nullptr));
    return std::move(vocabulary.classes);
  }

  void Tell(GarbageItem::Kind kind, std::string name, int64_t bytes) {
    report_.bytes += bytes;
    if (static_cast<int64_t>(report_.items.size()) < options_.max_items) {
      report_.items.push_back({kind, std::move(name), bytes});
    }
  }

  absl::Status SweepVersions() {
    RecordBatch batch;
    for (const auto& [id, number, bytes] : old_versions_) {
      Tell(GarbageItem::Kind::kVersion,
           absl::StrCat(id.project, "/", id.name, "@", number), bytes);
      ++report_.num_versions;
      batch.Delete(Table::kMeta, VersionKey(id, number));
    }
    // What a version published since rests on is the head's base, or the head:
    // both were kept.
    return options_.dry_run || batch.empty() ? absl::OkStatus()
                                             : tables_.Write(batch);
  }

  absl::Status SweepSets(Table table) {
    constexpr size_t kSetsPerWrite = 64;
    std::vector<std::pair<ContentKey, int64_t>> unneeded;
    const bool is_prototype = table == Table::kPrototypes;
    OVDIFF_RETURN_IF_ERROR(ForEachRow(
        tables_, Table::kMeta,
        is_prototype ? PrototypeEntryPrefix() : SupportEntryPrefix(),
        [&](const std::string& entry_key, const std::string& bytes) {
          OVDIFF_RETURN_IF_ERROR(control_.Check());
          const auto key = ParseEntryKey(entry_key);
          if (!key.ok() || needed_.contains(*key)) {
            return absl::OkStatus();
          }
          const auto entry = DecodeContentEntry(*key, bytes);
          if (entry.ok() &&
              entry->create_time > absl::Now() - options_.min_age) {
            return absl::OkStatus();
          }
          // Of a damaged entry the record itself says how large it is.
          int64_t size = entry.ok() ? entry->record_bytes : 0;
          if (!entry.ok()) {
            const auto record = tables_.Get(table, ContentTableKey(*key));
            size = record.ok() ? record->size() : 0;
          }
          unneeded.emplace_back(*key, size);
          if (unneeded.size() < kSetsPerWrite) {
            return absl::OkStatus();
          }
          return Delete(table, unneeded);
        }));
    return Delete(table, unneeded);
  }

  // Empties `unneeded`.
  absl::Status Delete(Table table,
                      std::vector<std::pair<ContentKey, int64_t>>& unneeded) {
    const bool is_prototype = table == Table::kPrototypes;
    MutexLock lock(&store_.write_mutex_);
    RecordBatch batch;
    for (const auto& [key, bytes] : unneeded) {
      if (store_.protected_->contains(key)) {
        continue;
      }
      batch.Delete(table, ContentTableKey(key));
      batch.Delete(Table::kMeta, is_prototype ? PrototypeEntryKey(key)
                                              : SupportEntryKey(key));
      ++(is_prototype ? report_.num_prototype_sets : report_.num_support_sets);
      Tell(is_prototype ? GarbageItem::Kind::kPrototypeSet
                        : GarbageItem::Kind::kSupportSet,
           ToHex(key), bytes);
    }
    if (!options_.dry_run && !batch.empty()) {
      OVDIFF_RETURN_IF_ERROR(tables_.Write(batch));
      for (const auto& [key, bytes] : unneeded) {
        if (!store_.protected_->contains(key)) {
          OVDIFF_RETURN_IF_ERROR(store_.NoteState(key, absl::OkStatus()));
        }
      }
    }
    unneeded.clear();
    return absl::OkStatus();
  }

  struct OldVersion {
    VocabularyId id;
    int64_t number;
    int64_t bytes;
  };

  RecordPrototypeStore& store_;
  RecordTables& tables_;
  const GarbageOptions& options_;
  const CallControl& control_;
  absl::flat_hash_set<ContentKey> needed_;
  std::map<std::pair<std::string, std::string>, VersionsOf> vocabularies_;
  std::vector<OldVersion> old_versions_;
  GarbageReport report_;
};

absl::StatusOr<GarbageReport> RecordPrototypeStore::CollectGarbage(
    const GarbageOptions& options, const CallControl& control) {
  MutexLock one_at_a_time(&garbage_mutex_);
  {
    // From here on whatever a publish needs is noted; what earlier ones need
    // is in the versions that are about to be read.
    MutexLock lock(&write_mutex_);
    protected_.emplace();
  }
  auto report = GarbageCollector(*this, options, control).Run();
  MutexLock lock(&write_mutex_);
  protected_.reset();
  return report;
}

}  // namespace ovdiff::store
