// RecordPrototypeStore::Verify(): every record read and checked.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "store/keys.h"
#include "store/record_pages.h"
#include "store/record_prototype_store.h"

namespace ovdiff::store {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

std::string NameOf(const VocabularyId& id) {
  return absl::StrCat(id.project, "/", id.name);
}

// What a failed scan of a whole table is told as: the rest of it is unread.
bool IsProblem(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) ||
         absl::IsNotFound(status) || absl::IsUnavailable(status);
}

}  // namespace

class RecordPrototypeStore::Verifier {
 public:
  Verifier(RecordPrototypeStore& store, const VerifyOptions& options,
           const CallControl& control, const AdminProgressCallback& on_progress)
      : store_(store),
        tables_(*store.tables_),
        options_(options),
        control_(control),
        on_progress_(on_progress) {}

  absl::StatusOr<VerifyReport> Run() {
    // Only for the progress: a table that cannot be counted is told of below.
    if (const auto stats = store_.Stats(); stats.ok()) {
      progress_.total_records =
          stats->num_prototype_sets + stats->num_support_sets;
    }
    OVDIFF_RETURN_IF_ERROR(CheckSets(Table::kPrototypes));
    OVDIFF_RETURN_IF_ERROR(CheckSets(Table::kSupport));
    OVDIFF_RETURN_IF_ERROR(CheckMeta());
    OVDIFF_RETURN_IF_ERROR(
        CheckRows(Table::kJobs, "", [](const auto& key, const auto& value) {
          return std::pair(absl::StrCat("job ", key),
                           DecodeJob(key, value).status());
        }));
    if (options_.check_files) {
      OVDIFF_RETURN_IF_ERROR(control_.Check());
      const absl::Status files = tables_.CheckFiles();
      if (!files.ok()) {
        Add("files", "table files", files);
      }
    }
    OVDIFF_RETURN_IF_ERROR(FindUsers());
    report_.records = progress_.records;
    report_.bytes = progress_.bytes;
    return std::move(report_);
  }

 private:
  // Null beyond max_problems.
  RecordProblem* Add(absl::string_view table, std::string key,
                     absl::Status status) {
    ++report_.num_problems;
    if (static_cast<int64_t>(report_.problems.size()) >=
        options_.max_problems) {
      return nullptr;
    }
    RecordProblem& problem = report_.problems.emplace_back();
    problem.table = std::string(table);
    problem.key = std::move(key);
    problem.status = std::move(status);
    return &problem;
  }

  // Counts a record that was read, tells of it, and keeps the asked pace.
  absl::Status Step(size_t bytes) {
    ++progress_.records;
    progress_.bytes += static_cast<int64_t>(bytes);
    const absl::Time now = absl::Now();
    if (on_progress_ && now >= next_progress_) {
      next_progress_ = now + kProgressInterval;
      on_progress_(progress_);
    }
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    if (options_.max_bytes_per_second <= 0) {
      return absl::OkStatus();
    }
    const absl::Time due =
        start_ +
        absl::Seconds(static_cast<double>(progress_.bytes) /
                      static_cast<double>(options_.max_bytes_per_second));
    while (absl::Now() < due) {
      absl::SleepFor(std::min(due - absl::Now(), absl::Milliseconds(50)));
      OVDIFF_RETURN_IF_ERROR(control_.Check());
    }
    return absl::OkStatus();
  }

  // `check(key, value)` gives the row's printable name and its status.
  template <typename Check>
  absl::Status CheckRows(Table table, const std::string& prefix, Check check) {
    const absl::string_view name = kTableNames[static_cast<size_t>(table)];
    absl::Status stopped;
    const absl::Status status =
        ForEachRow(tables_, table, prefix,
                   [&](const std::string& key, const std::string& value) {
                     const auto [what, found] = check(key, value);
                     if (!found.ok()) {
                       Add(name, what, found);
                     }
                     stopped = Step(value.size());
                     return stopped;
                   });
    OVDIFF_RETURN_IF_ERROR(stopped);
    if (!status.ok()) {
      // Its rows cannot be walked to the end: the other tables still can.
      Add(name, prefix.empty() ? "rows" : absl::StrCat("rows '", prefix, "'"),
          status);
    }
    return absl::OkStatus();
  }

  absl::Status CheckMeta() {
    OVDIFF_RETURN_IF_ERROR(CheckRows(
        Table::kMeta, HeadPrefix(), [this](const auto& key, const auto& value) {
          const auto id = ParseHeadKey(key);
          const absl::Status status =
              id.ok() ? DecodeVocabularyHead(*id, value).status() : id.status();
          if (!status.ok()) {
            return std::pair(
                absl::StrCat("vocabulary ", id.ok() ? NameOf(*id) : ""),
                status);
          }
          return std::pair(absl::StrCat("newest version of ", NameOf(*id)),
                           CheckHead(*id));
        }));
    OVDIFF_RETURN_IF_ERROR(CheckRows(
        Table::kMeta, VersionPrefix(), [](const auto& key, const auto& value) {
          const auto name = ParseVersionKey(key);
          return name.ok() ? std::pair(absl::StrCat("version ", name->version,
                                                    " of ", NameOf(name->id)),
                                       DecodeVersionRecord(name->id,
                                                           name->version, value)
                                           .status())
                           : std::pair(std::string("version"), name.status());
        }));
    return CheckRows(
        Table::kMeta, LabelPrefix(), [](const auto& key, const auto& value) {
          const auto name = ParseLabelKey(key);
          return name.ok()
                     ? std::pair(absl::StrCat("label of '", name->class_name,
                                              "' in ", NameOf(name->id)),
                                 DecodeLabel(name->id, name->class_name, value)
                                     .status())
                     : std::pair(std::string("label"), name.status());
        });
  }

  // The newest version can be read, and every set it names is there.
  absl::Status CheckHead(const VocabularyId& id) {
    OVDIFF_ASSIGN_OR_RETURN(const Vocabulary head, store_.GetVocabulary(id, 0));
    for (const ClassEntry& entry : head.classes) {
      OVDIFF_ASSIGN_OR_RETURN(
          const bool has_entry,
          store_.HasEntry(PrototypeEntryKey(entry.prototype_key)));
      if (!has_entry) {
        AddSetProblem("proto", entry.prototype_key,
                      absl::NotFoundError("not in the store"));
      }
    }
    return absl::OkStatus();
  }

  void AddSetProblem(absl::string_view table, const ContentKey& key,
                     const absl::Status& status) {
    if (!told_.insert(key).second) {
      return;  // Two vocabularies may miss the same set.
    }
    const absl::string_view kind =
        table == "proto" ? "prototype set " : "support set ";
    if (Add(table, absl::StrCat(kind, ToHex(key)), status) != nullptr) {
      set_problems_.emplace(key, report_.problems.size() - 1);
    }
  }

  // Of one kind, by their entries.
  absl::Status CheckSets(Table table) {
    const bool is_prototype = table == Table::kPrototypes;
    absl::Status stopped;
    const absl::Status status = ForEachRow(
        tables_, Table::kMeta,
        is_prototype ? PrototypeEntryPrefix() : SupportEntryPrefix(),
        [&](const std::string& entry_key, const std::string& entry_bytes) {
          stopped = CheckSet(table, entry_key, entry_bytes);
          return stopped;
        });
    OVDIFF_RETURN_IF_ERROR(stopped);
    if (!status.ok()) {
      Add("meta",
          is_prototype ? "entries of prototype sets"
                       : "entries of support sets",
          status);
    }
    return absl::OkStatus();
  }

  absl::Status CheckSet(Table table, const std::string& entry_key,
                        const std::string& entry_bytes) {
    const auto key = ParseEntryKey(entry_key);
    if (!key.ok()) {
      Add("meta", "entry of a set", key.status());
      return Step(entry_bytes.size());
    }
    const auto entry = DecodeContentEntry(*key, entry_bytes);
    if (!entry.ok()) {
      Add("meta", absl::StrCat("entry of set ", ToHex(*key)), entry.status());
    }
    const auto bytes = tables_.Get(table, ContentTableKey(*key));
    absl::Status status = bytes.status();
    if (bytes.ok()) {
      status = Decode(table, *key, *bytes);
      if (status.ok() && entry.ok() && entry->record_bytes != bytes->size()) {
        Add("meta", absl::StrCat("entry of set ", ToHex(*key)),
            absl::DataLossError(absl::StrCat("says ", entry->record_bytes,
                                             " bytes of a record of ",
                                             bytes->size())));
      }
    } else if (absl::IsNotFound(status)) {
      // It may have been collected since the entry was seen.
      OVDIFF_ASSIGN_OR_RETURN(const bool is_there, store_.HasEntry(entry_key));
      if (!is_there) {
        return absl::OkStatus();
      }
      status = absl::DataLossError("its record is gone");
    }
    if (!store_.NoteState(*key, status).ok()) {
      const size_t index = report_.problems.size();
      AddSetProblem(kTableNames[static_cast<size_t>(table)], *key, status);
      OVDIFF_ASSIGN_OR_RETURN(const bool is_dropped, Drop(table, *key, status));
      if (is_dropped) {
        ++report_.num_dropped;
        if (index < report_.problems.size()) {
          report_.problems[index].is_dropped = true;
        }
      }
    }
    return Step(entry_bytes.size() + (bytes.ok() ? bytes->size() : 0));
  }

  static absl::Status Decode(Table table, const ContentKey& key,
                             const std::string& bytes) {
    return table == Table::kPrototypes
               ? DecodePrototypeRecord(key, bytes).status()
               : DecodeSupportRecord(key, bytes).status();
  }

  // Whether the set was taken out. One that was put again meanwhile stays.
  absl::StatusOr<bool> Drop(Table table, const ContentKey& key,
                            const absl::Status& status) {
    if (!options_.drop_damaged_sets || !absl::IsDataLoss(status)) {
      return false;
    }
    MutexLock lock(&store_.write_mutex_);
    const auto bytes = tables_.Get(table, ContentTableKey(key));
    if (bytes.ok() && Decode(table, key, *bytes).ok()) {
      return false;
    }
    RecordBatch batch;
    batch.Delete(table, ContentTableKey(key));
    batch.Delete(Table::kMeta, table == Table::kPrototypes
                                   ? PrototypeEntryKey(key)
                                   : SupportEntryKey(key));
    OVDIFF_RETURN_IF_ERROR(tables_.Write(batch));
    // No longer damaged, but absent.
    OVDIFF_RETURN_IF_ERROR(store_.NoteState(key, absl::OkStatus()));
    return true;
  }

  // Names who needs the sets that have problems: first by the newest versions,
  // then, for those that none of these needs, by the others.
  absl::Status FindUsers() {
    if (set_problems_.empty()) {
      return absl::OkStatus();
    }
    std::map<std::string, VocabularyId> vocabularies;
    const absl::Status listed =
        ForEachRow(tables_, Table::kMeta, HeadPrefix(),
                   [&](const std::string& key, const std::string&) {
                     const auto id = ParseHeadKey(key);
                     if (id.ok()) {
                       vocabularies.emplace(key, *id);
                     }
                     return absl::OkStatus();
                   });
    if (!listed.ok()) {
      return absl::OkStatus();  // Told by CheckMeta().
    }
    for (const auto& [key, id] : vocabularies) {
      OVDIFF_RETURN_IF_ERROR(control_.Check());
      const auto head = store_.GetVocabulary(id, 0);
      if (head.ok()) {
        AddUsers(NameOf(id), head->classes);
      }
    }
    for (const auto& [key, index] : set_problems_) {
      if (report_.problems[index].num_users == 0) {
        return FindOldUsers();
      }
    }
    return absl::OkStatus();
  }

  absl::Status FindOldUsers() {
    std::map<ContentKey, size_t> unused;
    for (const auto& [key, index] : set_problems_) {
      if (report_.problems[index].num_users == 0) {
        unused.emplace(key, index);
      }
    }
    set_problems_ = std::move(unused);
    const absl::Status listed = ForEachRow(
        tables_, Table::kMeta, VersionPrefix(),
        [&](const std::string& key, const std::string& value) {
          const auto name = ParseVersionKey(key);
          if (name.ok()) {
            const auto record =
                DecodeVersionRecord(name->id, name->version, value);
            if (record.ok()) {
              AddUsers(absl::StrCat(NameOf(name->id), "@", name->version),
                       record->classes);
            }
          }
          return control_.Check();
        });
    return IsProblem(listed) ? absl::OkStatus() : listed;
  }

  void AddUsers(const std::string& vocabulary,
                const std::vector<ClassEntry>& classes) {
    for (const ClassEntry& entry : classes) {
      for (const ContentKey& key : {entry.prototype_key, entry.support_key}) {
        const auto found = set_problems_.find(key);
        if (found == set_problems_.end()) {
          continue;
        }
        RecordProblem& problem = report_.problems[found->second];
        ++problem.num_users;
        if (problem.users.size() < kMaxUsers) {
          problem.users.push_back(absl::StrCat(vocabulary, ": ", entry.name));
        }
      }
    }
  }

  RecordPrototypeStore& store_;
  RecordTables& tables_;
  const VerifyOptions& options_;
  const CallControl& control_;
  const AdminProgressCallback& on_progress_;
  const absl::Time start_ = absl::Now();
  absl::Time next_progress_ = absl::InfinitePast();
  AdminProgress progress_;
  VerifyReport report_;
  absl::flat_hash_set<ContentKey> told_;
  // Sets with problems, by their index in the report.
  std::map<ContentKey, size_t> set_problems_;
};

absl::StatusOr<VerifyReport> RecordPrototypeStore::Verify(
    const VerifyOptions& options, const CallControl& control,
    const AdminProgressCallback& on_progress) {
  return Verifier(*this, options, control, on_progress).Run();
}

}  // namespace ovdiff::store
