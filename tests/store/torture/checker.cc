#include "tests/store/torture/checker.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "tests/store/test_records.h"

namespace ovdiff::store::torture {
namespace {

void Say(const std::string& what, Findings& findings) {
  if (findings.first.empty()) {
    findings.first = what;
  }
}

// A read that failed.
void Fail(const std::string& what, absl::string_view name,
          const absl::Status& status, Findings& findings) {
  if (absl::IsNotFound(status)) {
    ++findings.missing;
  } else {
    ++findings.refused;
    findings.unnamed += absl::StrContains(status.message(), name) ? 0 : 1;
  }
  Say(absl::StrCat(what, ": ", status.ToString()), findings);
}

void Differ(const std::string& what, Findings& findings) {
  ++findings.differing;
  Say(what, findings);
}

std::string DifferenceOf(const std::map<std::string, Block::Class>& expected,
                         const Workload& workload, const Vocabulary& found) {
  if (found.classes.size() != expected.size()) {
    return absl::StrCat(found.classes.size(), " classes, not ",
                        expected.size());
  }
  for (const ClassEntry& entry : found.classes) {
    const auto wanted = expected.find(entry.name);
    if (wanted == expected.end()) return "class " + entry.name;
    const PrototypeRecord set = SetOf(workload, wanted->second.seed);
    if (entry.label != wanted->second.label) return "label of " + entry.name;
    if (entry.prototype_key != KeyOf(set)) return "key of " + entry.name;
    if (entry.prompt != set.prompt) return "prompt of " + entry.name;
  }
  return "";
}

}  // namespace

void Findings::Add(const Findings& more) {
  exact += more.exact;
  missing += more.missing;
  differing += more.differing;
  refused += more.refused;
  unnamed += more.unnamed;
  if (first.empty()) {
    first = more.first;
  }
}

Checker::Checker(const Workload& workload, const PrototypeStore& store)
    : workload_(workload), store_(store) {
  auto jobs = store.ListJobs(&damaged_jobs_);
  jobs_status_ = jobs.status();
  if (jobs.ok()) {
    jobs_.insert(std::make_move_iterator(jobs->begin()),
                 std::make_move_iterator(jobs->end()));
  }
}

Findings Checker::CheckSet(int seed) const {
  Findings findings;
  const PrototypeRecord expected = SetOf(workload_, seed);
  const ContentKey key = KeyOf(expected);
  const std::string what = absl::StrCat("set ", seed);
  const auto found = store_.GetPrototypeSet(key);
  const auto has = store_.HasPrototypeSet(key);
  if (!found.ok()) {
    Fail(what, ToHex(key), found.status(), findings);
  } else if (const auto difference = Difference(*found, expected);
             !difference.empty()) {
    Differ(absl::StrCat(what, ": ", difference), findings);
  } else if (!has.ok()) {
    Fail(what + ", its entry", "", has.status(), findings);
  } else if (!*has) {
    Fail(what + ", its entry", "", absl::NotFoundError("not there"), findings);
  } else {
    ++findings.exact;
  }
  return findings;
}

void Checker::CheckSupport(int seed, Findings& findings) const {
  const SupportRecord expected = MakeSupportRecord(seed);
  const ContentKey key = KeyOf(expected);
  const std::string what = absl::StrCat("support set ", seed);
  const auto found = store_.GetSupportSet(key);
  if (workload_.collects_garbage && absl::IsNotFound(found.status())) {
    return;
  }
  if (!found.ok()) {
    Fail(what, ToHex(key), found.status(), findings);
  } else if (!Difference(*found, expected).empty()) {
    Differ(what, findings);
  } else {
    ++findings.exact;
  }
}

void Checker::CheckVersions(const Block& block, Findings& findings) const {
  const auto head_version = static_cast<int64_t>(block.versions.size());
  for (int64_t version = 0; version <= head_version; ++version) {
    const std::string what =
        absl::StrCat("vocabulary ", block.id.name, " version ", version);
    const auto found = store_.GetVocabulary(block.id, version);
    if (!found.ok()) {
      // Without any version it is right that there is none.
      if (head_version == 0 && absl::IsNotFound(found.status())) continue;
      Fail(what, block.id.name, found.status(), findings);
      continue;
    }
    const int64_t wanted = version == 0 ? head_version : version;
    if (found->version < wanted) {
      Fail(what, "", absl::NotFoundError(absl::StrCat("head ", found->version)),
           findings);
      continue;
    }
    std::string difference =
        found->version > wanted
            ? absl::StrCat("head ", found->version, ", not ", wanted)
            : DifferenceOf(block.versions[static_cast<size_t>(wanted - 1)],
                           workload_, *found);
    if (difference.empty()) {
      ++findings.exact;
    } else {
      Differ(absl::StrCat(what, ": ", difference), findings);
    }
  }
  if (store_.GetVocabulary(block.id, head_version + 1).ok()) {
    Differ(absl::StrCat("vocabulary ", block.id.name,
                        ": a version beyond its head"),
           findings);
  }
}

void Checker::CheckJobs(int writer, int64_t number, const Block& block,
                        Findings& findings) const {
  for (int tens = 0; tens < kOpsPerBlock / 10; ++tens) {
    const std::string id = absl::StrCat("job-", writer, "-", number, "-", tens);
    const auto found = jobs_.find(id);
    const auto wanted = block.jobs.find(id);
    const auto history = block.job_history.find(id);
    if (found != jobs_.end() && wanted != block.jobs.end() &&
        found->second == wanted->second) {
      ++findings.exact;
    } else if (found != jobs_.end()) {
      // What it was before is a write that is lost; else nobody wrote it.
      const bool is_old = history != block.job_history.end() &&
                          history->second.contains(found->second);
      if (is_old) {
        Fail(id, "", absl::NotFoundError("as it was before"), findings);
      } else {
        Differ(id, findings);
      }
    } else if (wanted != block.jobs.end() && !jobs_status_.ok()) {
      Fail(id, "", jobs_status_, findings);
    } else if (wanted != block.jobs.end()) {
      ++missing_jobs_;
      Fail(id, "", absl::NotFoundError("not listed"), findings);
    }
  }
}

void Checker::SettleJobs(Findings& findings) const {
  const int64_t told = std::min(missing_jobs_, damaged_jobs_);
  findings.missing -= told;
  findings.refused += told;
  findings.unnamed += told;
}

void Checker::CheckShared(const Block& block, Findings& findings) const {
  for (const auto& [name, where] : block.shared) {
    const auto& [vocabulary, seed] = where;
    auto head = shared_.find(vocabulary);
    if (head == shared_.end()) {
      head = shared_
                 .emplace(vocabulary,
                          store_.GetVocabulary(
                              {.project = "shared", .name = vocabulary}, 0))
                 .first;
    }
    if (!head->second.ok()) {
      Fail("class " + name, vocabulary, head->second.status(), findings);
      continue;
    }
    const auto& classes = head->second->classes;
    const auto entry =
        std::find_if(classes.begin(), classes.end(),
                     [&](const ClassEntry& at) { return at.name == name; });
    if (entry == classes.end()) {
      Fail("class " + name, "", absl::NotFoundError("not in its vocabulary"),
           findings);
    } else if (entry->prototype_key != KeyOf(SetOf(workload_, seed))) {
      Differ("class " + name, findings);
    } else {
      ++findings.exact;
    }
  }
}

void Checker::CheckNext(const Block& block, Findings& findings) const {
  for (const int seed : block.next_sets) {
    const ContentKey key = KeyOf(SetOf(workload_, seed));
    const auto has = store_.HasPrototypeSet(key);
    if (store_.GetPrototypeSet(key).ok() || (has.ok() && *has)) {
      Differ(absl::StrCat("set ", seed, " of a write that is not there"),
             findings);
    }
  }
  for (const int seed : block.next_supports) {
    const ContentKey key = KeyOf(MakeSupportRecord(seed));
    const auto has = store_.HasSupportSet(key);
    if (store_.GetSupportSet(key).ok() || (has.ok() && *has)) {
      Differ(absl::StrCat("pictures ", seed, " of a write that is not there"),
             findings);
    }
  }
}

Findings Checker::CheckBlock(int writer, int64_t number, int done) const {
  const Block block = ExpectedBlock(writer, number, done);
  Findings findings;
  CheckVersions(block, findings);
  for (const int seed : block.sets) {
    findings.Add(CheckSet(seed));
  }
  for (const int seed : block.loose_sets) {
    const Findings found = CheckSet(seed);
    if (!workload_.collects_garbage || found.missing == 0) {
      findings.Add(found);
    }
  }
  for (const int seed : block.supports) {
    CheckSupport(seed, findings);
  }
  CheckJobs(writer, number, block, findings);
  CheckShared(block, findings);
  CheckNext(block, findings);
  return findings;
}

Findings Checker::CheckGrowing(const VocabularySummary& summary) const {
  Findings findings;
  for (int64_t version = 1; version <= summary.version; ++version) {
    const auto found = store_.GetVocabulary(summary.id, version);
    const std::string what =
        absl::StrCat(summary.id.name, " version ", version);
    if (!found.ok()) {
      Fail(what, summary.id.name, found.status(), findings);
    } else if (static_cast<int64_t>(found->classes.size()) != version ||
               found->classes.back().label != version) {
      Differ(what, findings);
    } else {
      ++findings.exact;
    }
  }
  return findings;
}

namespace {

// Vocabularies of `project`, in pages.
absl::StatusOr<std::vector<VocabularySummary>> ListAll(
    const std::string& project, const PrototypeStore& store) {
  std::vector<VocabularySummary> all;
  for (;;) {
    const auto page = store.ListVocabularies(
        project, all.empty() ? "" : all.back().id.name, 500);
    if (!page.ok()) return page.status();
    if (page->empty()) return all;
    all.insert(all.end(), page->begin(), page->end());
  }
}

// That no vocabulary is there that nobody made, and the shared ones are whole.
void CheckListed(const std::set<std::string>& made, const PrototypeStore& store,
                 const Checker& checker, Findings& findings) {
  const auto own = ListAll("torture", store);
  const auto shared = ListAll("shared", store);
  if (!own.ok() || !shared.ok()) {
    Fail("the list of vocabularies", "",
         own.ok() ? shared.status() : own.status(), findings);
    return;
  }
  for (const VocabularySummary& summary : *own) {
    if (!made.contains(summary.id.name)) {
      Differ("vocabulary " + summary.id.name + " that nobody made", findings);
    }
  }
  for (const VocabularySummary& summary : *shared) {
    findings.Add(checker.CheckGrowing(summary));
  }
}

}  // namespace

Findings CheckAll(const Workload& workload, const std::vector<int64_t>& done,
                  const PrototypeStore& store) {
  const Checker checker(workload, store);
  Findings findings;
  std::set<std::string> made;
  for (int writer = 0; writer < workload.writers; ++writer) {
    const int64_t all = done[static_cast<size_t>(writer)];
    for (int64_t block = 0; block * kOpsPerBlock < all; ++block) {
      const int of_it = static_cast<int>(
          std::min<int64_t>(kOpsPerBlock, all - block * kOpsPerBlock));
      findings.Add(checker.CheckBlock(writer, block, of_it));
      made.insert(ExpectedBlock(writer, block, 0).id.name);
    }
  }
  CheckListed(made, store, checker, findings);
  checker.SettleJobs(findings);
  return findings;
}

}  // namespace ovdiff::store::torture
