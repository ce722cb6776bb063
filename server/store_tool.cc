#include "server/store_tool.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/job_request.h"
#include "server/store_json.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::server {
namespace {

using nlohmann::ordered_json;
using store::StoreMode;

struct Flags {
  std::string path;
  bool as_json = false;
  store::VerifyOptions verify;
  store::GarbageOptions garbage;
  bool is_deleting = false;
  double min_age_seconds = 3600;
  bool is_compacting = false;
  store::BackupOptions backup;
  std::string backup_folder;
  uint32_t backup_id = 0;
};

// One command with what it prints.
class Tool {
 public:
  Tool(Flags& flags, std::ostream& out, std::ostream& err)
      : flags_(flags), out_(out), err_(err) {}

  absl::StatusOr<int> Stats() {
    OVDIFF_ASSIGN_OR_RETURN(const auto opened, Open(StoreMode::kReadOnly));
    OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats stats, opened->Stats());
    Print(ToJson(stats));
    return CheckLoss(*opened);
  }

  absl::StatusOr<int> Verify() {
    OVDIFF_ASSIGN_OR_RETURN(
        const auto opened,
        Open(flags_.verify.drop_damaged_sets ? StoreMode::kReadWrite
                                             : StoreMode::kReadOnly));
    OVDIFF_ASSIGN_OR_RETURN(
        const store::VerifyReport report,
        opened->admin().Verify(flags_.verify, CallControl(), Progress()));
    Print(ToJson(report));
    OVDIFF_ASSIGN_OR_RETURN(const int loss, CheckLoss(*opened));
    return report.num_problems > 0 ? kStoreToolProblems : loss;
  }

  absl::StatusOr<int> CollectGarbage() {
    flags_.garbage.dry_run = !flags_.is_deleting;
    flags_.garbage.min_age = absl::Seconds(flags_.min_age_seconds);
    OVDIFF_ASSIGN_OR_RETURN(const auto opened, Open(StoreMode::kReadWrite));
    OVDIFF_ASSIGN_OR_RETURN(flags_.garbage.keep, KeysOfJobs(*opened));
    OVDIFF_ASSIGN_OR_RETURN(
        const store::GarbageReport report,
        opened->admin().CollectGarbage(flags_.garbage, CallControl()));
    if (flags_.is_deleting && flags_.is_compacting) {
      OVDIFF_RETURN_IF_ERROR(opened->admin().Compact(CallControl()));
    }
    Print(ToJson(report));
    if (report.is_dry_run && !flags_.as_json) {
      out_ << "nothing was deleted; --delete does it\n";
    }
    return kStoreToolOk;
  }

  absl::StatusOr<int> Backup() {
    OVDIFF_ASSIGN_OR_RETURN(const auto opened, Open(StoreMode::kReadWrite));
    OVDIFF_ASSIGN_OR_RETURN(
        const store::BackupInfo info,
        opened->admin().Backup(flags_.backup, CallControl()));
    Print(ToJson(info));
    return kStoreToolOk;
  }

  absl::StatusOr<int> Backups() {
    OVDIFF_ASSIGN_OR_RETURN(const auto infos,
                            store::ListBackups(flags_.backup_folder));
    ordered_json backups = ordered_json::array();
    for (const store::BackupInfo& info : infos) {
      backups.push_back(ToJson(info));
    }
    Print({{"backups", backups}});
    return kStoreToolOk;
  }

  absl::StatusOr<int> Restore() {
    OVDIFF_ASSIGN_OR_RETURN(
        const store::BackupInfo info,
        store::RestoreStore({.backup_folder = flags_.backup_folder,
                             .id = flags_.backup_id,
                             .path = flags_.path}));
    Print(ToJson(info));
    return kStoreToolOk;
  }

  absl::StatusOr<int> Compact() {
    OVDIFF_ASSIGN_OR_RETURN(const auto opened, Open(StoreMode::kReadWrite));
    OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats before, opened->Stats());
    OVDIFF_RETURN_IF_ERROR(opened->admin().Compact(CallControl()));
    OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats after, opened->Stats());
    Print({{"disk_bytes_before", before.disk_bytes},
           {"disk_bytes", after.disk_bytes}});
    return kStoreToolOk;
  }

  absl::StatusOr<int> Recover() {
    store::RecoveryReport report;
    OVDIFF_RETURN_IF_ERROR(
        store::OpenRocksDbStore(
            {.path = flags_.path, .mode = StoreMode::kRecover}, &report)
            .status());
    Print({{"actions", report.actions}});
    return report.actions.empty() ? kStoreToolOk : kStoreToolProblems;
  }

 private:
  absl::StatusOr<std::unique_ptr<store::PrototypeStore>> Open(StoreMode mode) {
    return store::OpenRocksDbStore(
        {.path = flags_.path, .mode = mode, .create_if_missing = false});
  }

  // A store that was opened although it has lost something.
  absl::StatusOr<int> CheckLoss(const store::PrototypeStore& opened) {
    const absl::Status health = opened.Health();
    if (!absl::IsDataLoss(health)) {
      return kStoreToolOk;
    }
    err_ << "ovdiffd: " << health.message() << "\n";
    return kStoreToolProblems;
  }

  store::AdminProgressCallback Progress() {
    return [this,
            last = absl::Now()](const store::AdminProgress& progress) mutable {
      if (absl::Now() - last > absl::Seconds(2)) {
        last = absl::Now();
        err_ << progress.records << " records, " << (progress.bytes >> 20)
             << " MiB read\n";
      }
    };
  }

  void Print(const ordered_json& answer) {
    if (flags_.as_json) {
      out_ << answer.dump(2, ' ', false, ordered_json::error_handler_t::replace)
           << "\n";
    } else {
      PrintText(answer, out_);
    }
  }

  Flags& flags_;
  std::ostream& out_;
  std::ostream& err_;
};

using Run = absl::StatusOr<int> (Tool::*)();

CLI::App* AddCommand(CLI::App& app, const char* name, const char* help, Run run,
                     Flags& flags, Run& chosen) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_flag("--json", flags.as_json, "One JSON object on stdout");
  command->callback([run, &chosen] { chosen = run; });
  return command;
}

CLI::App* AddStoreCommand(CLI::App& app, const char* name, const char* help,
                          Run run, Flags& flags, Run& chosen) {
  CLI::App* command = AddCommand(app, name, help, run, flags, chosen);
  command->add_option("--store", flags.path, "Folder of the database")
      ->required();
  return command;
}

void AddVerifyFlags(CLI::App& command, store::VerifyOptions& options) {
  command
      .add_option("--max-bytes-per-second", options.max_bytes_per_second,
                  "Of reading; 0: as fast as it goes")
      ->check(CLI::NonNegativeNumber);
}

void AddBackupCommands(CLI::App& app, Flags& flags, Run& run) {
  CLI::App* backup = AddStoreCommand(
      app, "backup", "Copy the store; files of earlier backups are shared",
      &Tool::Backup, flags, run);
  backup->add_option("--to", flags.backup.folder, "Folder of backups")
      ->required();
  backup
      ->add_option("--keep", flags.backup.keep_backups,
                   "Backups that are kept, the newest; 0: all")
      ->check(CLI::NonNegativeNumber);
  CLI::App* backups = AddCommand(app, "backups", "List the backups in a folder",
                                 &Tool::Backups, flags, run);
  backups->add_option("--from", flags.backup_folder, "Folder of backups")
      ->required();
  CLI::App* restore = AddStoreCommand(
      app, "restore", "Make a store, in a new folder, of a backup",
      &Tool::Restore, flags, run);
  restore->add_option("--from", flags.backup_folder, "Folder of backups")
      ->required();
  restore->add_option("--id", flags.backup_id, "Of the backup; 0: the newest");
}

void AddCommands(CLI::App& app, Flags& flags, Run& run) {
  AddStoreCommand(app, "stats", "How much is in the store", &Tool::Stats, flags,
                  run);
  AddVerifyFlags(
      *AddStoreCommand(app, "verify",
                       "Read and check every record, and change nothing",
                       &Tool::Verify, flags, run),
      flags.verify);
  CLI::App* scrub = AddStoreCommand(
      app, "scrub",
      "verify, and take damaged sets out: adding their classes again rebuilds "
      "them",
      &Tool::Verify, flags, run);
  AddVerifyFlags(*scrub, flags.verify);
  scrub->parse_complete_callback(
      [&flags] { flags.verify.drop_damaged_sets = true; });
  CLI::App* gc = AddStoreCommand(
      app, "gc", "Say, or with --delete delete, what no version needs",
      &Tool::CollectGarbage, flags, run);
  gc->add_flag("--delete", flags.is_deleting, "Delete it");
  gc->add_flag("--compact", flags.is_compacting,
               "Then give the space back at once");
  gc->add_option("--keep-versions", flags.garbage.keep_versions,
                 "Newest versions kept of each vocabulary; 0: all")
      ->check(CLI::NonNegativeNumber);
  gc->add_option("--min-age", flags.min_age_seconds,
                 "Seconds; younger sets are kept")
      ->check(CLI::NonNegativeNumber);
  AddBackupCommands(app, flags, run);
  AddStoreCommand(app, "compact", "Give deleted space back to the volume",
                  &Tool::Compact, flags, run);
  AddStoreCommand(
      app, "recover",
      "Open a damaged store, accepting what is lost, and make it whole. Copy "
      "the folder first",
      &Tool::Recover, flags, run);
}

}  // namespace

int RunStoreTool(int argc, const char* const* argv, std::ostream& out,
                 std::ostream& err) {
  CLI::App app("Looks after a store that no server has open.", "ovdiffd store");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 done, and the "
      "store has damage.");
  Flags flags;
  Run run = nullptr;
  AddCommands(app, flags, run);
  try {
    app.parse(argc - 1, argv + 1);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, out, err) == 0 ? kStoreToolOk : kStoreToolUsage;
  }
  Tool tool(flags, out, err);
  const absl::StatusOr<int> code = (tool.*run)();
  if (!code.ok()) {
    err << "ovdiffd: " << code.status().message() << "\n";
    return kStoreToolFailed;
  }
  return *code;
}

}  // namespace ovdiff::server
