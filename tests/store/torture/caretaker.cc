#include "tests/store/torture/caretaker.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "store/store_admin.h"
#include "tests/store/torture/checker.h"

namespace ovdiff::store::torture {
namespace {

std::string BackupFolder(const ChildOptions& options) {
  return options.path + ".backups";
}

bool Succeeds(const char* what, const absl::Status& status,
              SharedState& shared) {
  if (!status.ok()) {
    ++shared.care_failures;
    Say(absl::StrCat(what, ": ", status.ToString()), shared);
  }
  return status.ok();
}

void Verify(PrototypeStore& store, SharedState& shared) {
  const auto report = store.admin().Verify({}, CallControl(), nullptr);
  if (Succeeds("verify", report.status(), shared) && report->num_problems > 0) {
    ++shared.reads.refused;
    const RecordProblem& problem = report->problems[0];
    Say(absl::StrCat("verify: ", problem.key, ": ", problem.status.ToString()),
        shared);
  }
}

void BackUp(const ChildOptions& options, PrototypeStore& store,
            SharedState& shared) {
  const std::vector<int64_t> done(shared.done.begin(), shared.done.end());
  const auto backup = store.admin().Backup(
      {.folder = BackupFolder(options), .keep_backups = 2}, CallControl());
  if (Succeeds("backup", backup.status(), shared)) {
    std::copy(done.begin(), done.end(), shared.backed_up.begin());
    ++shared.backups;
  }
}

}  // namespace

void LookAfter(const ChildOptions& options, PrototypeStore& store,
               SharedState& shared) {
  const GarbageOptions garbage = {.dry_run = false,
                                  .min_age = absl::ZeroDuration()};
  while (!shared.stop) {
    Succeeds("garbage",
             store.admin().CollectGarbage(garbage, CallControl()).status(),
             shared);
    BackUp(options, store, shared);
    Succeeds("compaction", store.admin().Compact(CallControl()), shared);
    Verify(store, shared);
    ++shared.care_rounds;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

void CheckBackup(const ChildOptions& options, SharedState& shared) {
  const std::string path = options.path + ".restored";
  std::filesystem::remove_all(path);
  const auto restored =
      RestoreStore({.backup_folder = BackupFolder(options), .path = path});
  if (!restored.ok()) {
    Say(absl::StrCat("restore: ", restored.status().ToString()), shared);
    shared.phase = Phase::kDamaged;
    return;
  }
  const auto store = OpenRocksDbStore({.path = path, .min_free_bytes = 0});
  if (!store.ok()) {
    Say(store.status().ToString(), shared);
    shared.phase = Phase::kRefused;
    return;
  }
  const Checker checker(options.workload, **store);
  Findings findings;
  for (int writer = 0; writer < options.workload.writers; ++writer) {
    const int64_t blocks =
        shared.backed_up[static_cast<size_t>(writer)] / kOpsPerBlock;
    for (int64_t block = 0; block < blocks; ++block) {
      findings.Add(checker.CheckBlock(writer, block, kOpsPerBlock));
    }
  }
  shared.check.exact += findings.exact;
  shared.check.missing += findings.missing;
  shared.check.differing += findings.differing;
  shared.check.refused += findings.refused;
  if (!findings.all_exact()) {
    Say("restored: " + findings.first, shared);
  }
  shared.phase = findings.all_exact() ? Phase::kEnded : Phase::kDamaged;
}

}  // namespace ovdiff::store::torture
