// `ovdiff store stats|verify|scrub|gc|backup|compact`.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli_commands.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

struct NoFlags {};

struct CheckFlags {
  double max_megabytes_per_second = 0;
  bool skip_files = false;
};

struct GarbageFlags {
  int64_t keep_versions = 0;
  std::optional<double> min_age_s;
  bool yes = false;
};

// "812 bytes", "4.6 MB".
std::string HumanBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) {
    return absl::StrCat(bytes, bytes == 1 ? " byte" : " bytes");
  }
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) {
    value /= 1000;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Count(int64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

// One line of progress: redrawn in place on a terminal, elsewhere one line for
// each quarter.
class CheckView {
 public:
  explicit CheckView(Console& console) : console_(console) {}
  ~CheckView() { Finish(); }

  void Update(const v1::StoreCheck& check) {
    const int64_t total = check.total_records();
    const double fraction = total > 0
                                ? static_cast<double>(check.num_records()) /
                                      static_cast<double>(total)
                                : 0.0;
    const std::string line = absl::StrFormat(
        "checked %d of about %d records, %s (%.0f%%)", check.num_records(),
        total, HumanBytes(check.bytes()), fraction * 100);
    if (console_.live) {
      console_.err << "\r"
                   << FitColumns(line, std::max(10, console_.columns - 1))
                   << std::flush;
      is_drawn_ = true;
      return;
    }
    const int quarter = static_cast<int>(fraction * 4);
    if (quarter > quarter_) {
      quarter_ = quarter;
      console_.err << line << std::endl;
    }
  }

  void Finish() {
    if (is_drawn_) {
      console_.err << "\r\x1b[0K" << std::flush;
      is_drawn_ = false;
    }
  }

 private:
  Console& console_;
  int quarter_ = 0;
  bool is_drawn_ = false;
};

void PrintProblem(const v1::StoreProblem& problem, std::ostream& out) {
  out << (problem.is_dropped() ? "  dropped  " : "  ")
      << Printable(problem.key()) << ": "
      << Printable(Readable(FromRpcStatus(problem.error()))) << "\n";
  if (problem.users().empty()) {
    return;
  }
  out << "    needed by " << Printable(absl::StrJoin(problem.users(), ", "));
  if (problem.num_users() > problem.users_size()) {
    out << " and " << problem.num_users() - problem.users_size() << " more";
  }
  out << "\n";
}

void PrintCheck(const v1::StoreCheck& check, const Session& session) {
  if (session.flags.json) {
    session.Print(ToJson(check));
    return;
  }
  std::ostream& out = session.console.out;
  out << Count(check.num_records(), "record") << ", "
      << HumanBytes(check.bytes()) << ": "
      << (check.num_problems() == 0 ? "no damage"
                                    : Count(check.num_problems(), "problem"))
      << "\n";
  for (const v1::StoreProblem& problem : check.problems()) {
    PrintProblem(problem, out);
  }
  if (check.num_problems() > check.problems_size()) {
    out << "  and " << check.num_problems() - check.problems_size()
        << " more\n";
  }
  if (check.num_dropped() > 0) {
    out << Count(check.num_dropped(), "damaged set")
        << " taken out; `ovdiff add` builds the classes again\n";
  } else if (check.num_problems() > 0) {
    session.console.err << "  `ovdiff store scrub` takes damaged sets out, and "
                           "`ovdiff add` builds their classes again\n";
  }
}

int EndCheck(const absl::StatusOr<v1::StoreCheck>& check, CheckView& view,
             Session& session) {
  view.Finish();
  if (!check.ok()) {
    return session.Fail(check.status());
  }
  PrintCheck(*check, session);
  return check->num_problems() == 0 ? kExitOk : kExitDamaged;
}

int64_t BytesPerSecond(const CheckFlags& flags) {
  return static_cast<int64_t>(flags.max_megabytes_per_second * 1e6);
}

int RunVerify(const CheckFlags& flags, Session& session) {
  v1::VerifyStoreRequest request;
  request.set_max_bytes_per_second(BytesPerSecond(flags));
  request.set_skip_files(flags.skip_files);
  CheckView view(session.console);
  return EndCheck(session.client.VerifyStore(
                      request, [&](const auto& check) { view.Update(check); },
                      session.Call()),
                  view, session);
}

int RunScrub(const CheckFlags& flags, Session& session) {
  v1::ScrubStoreRequest request;
  request.set_max_bytes_per_second(BytesPerSecond(flags));
  CheckView view(session.console);
  return EndCheck(session.client.ScrubStore(
                      request, [&](const auto& check) { view.Update(check); },
                      session.Call()),
                  view, session);
}

void PrintStats(const v1::GetStoreStatsResponse& stats, std::ostream& out) {
  const auto row = [&out](absl::string_view name, absl::string_view value) {
    out << FitColumns(name, 18) << value << "\n";
  };
  const auto sets = [](int64_t number, int64_t bytes) {
    return absl::StrCat(number, " (", HumanBytes(bytes), ")");
  };
  row("vocabularies", absl::StrCat(stats.num_vocabularies()));
  row("classes", absl::StrCat(stats.num_classes()));
  row("prototype sets",
      sets(stats.num_prototype_sets(), stats.prototype_bytes()));
  row("support sets", sets(stats.num_support_sets(), stats.support_bytes()));
  row("jobs", absl::StrCat(stats.num_jobs()));
  row("found damaged", absl::StrCat(stats.num_damaged()));
  row("on disk", absl::StrCat(HumanBytes(stats.disk_bytes()), ", of these ",
                              HumanBytes(stats.dead_bytes()), " dead, ",
                              HumanBytes(stats.log_bytes()), " log"));
  row("free", HumanBytes(stats.free_bytes()));
  row("background errors", absl::StrCat(stats.num_background_errors()));
  row("writes", stats.has_health()
                    ? Printable(Readable(FromRpcStatus(stats.health())))
                    : "possible");
  if (stats.has_running()) {
    row("running",
        absl::StrCat("a ", Printable(stats.running().name()), ", called by ",
                     Printable(stats.running().caller())));
  }
}

int RunStats(const NoFlags&, Session& session) {
  const auto stats = session.client.GetStoreStats(session.Call());
  if (!stats.ok()) {
    return session.Fail(stats.status());
  }
  if (session.flags.json) {
    session.Print(ToJson(*stats));
  } else {
    PrintStats(*stats, session.console.out);
  }
  return kExitOk;
}

std::string KindWords(v1::GarbageKind kind) {
  const std::string name = v1::GarbageKind_Name(kind);
  std::string words =
      absl::AsciiStrToLower(absl::StripPrefix(name, "GARBAGE_KIND_"));
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

void PrintGarbage(const v1::CollectGarbageResponse& garbage,
                  const Session& session) {
  std::ostream& out = session.console.out;
  for (const v1::GarbageItem& item : garbage.items()) {
    out << "  " << KindWords(item.kind()) << " " << Printable(item.name())
        << "  " << HumanBytes(item.bytes()) << "\n";
  }
  const int64_t total = garbage.num_prototype_sets() +
                        garbage.num_support_sets() + garbage.num_versions();
  if (total > garbage.items_size()) {
    out << "  and " << total - garbage.items_size() << " more\n";
  }
  out << (garbage.dry_run() ? "would delete " : "deleted ")
      << Count(garbage.num_prototype_sets(), "prototype set") << ", "
      << Count(garbage.num_support_sets(), "support set") << ", "
      << Count(garbage.num_versions(), "version") << ": "
      << HumanBytes(garbage.bytes()) << "\n";
  if (garbage.dry_run() && total > 0) {
    session.console.err << "  nothing was deleted; --yes does it\n";
  } else if (total > 0) {
    session.console.err << "  `ovdiff store compact` gives the space back\n";
  }
}

int RunGarbage(const GarbageFlags& flags, Session& session) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(!flags.yes);
  request.set_keep_versions(flags.keep_versions);
  if (flags.min_age_s.has_value()) {
    request.set_min_age_seconds(*flags.min_age_s);
  }
  const auto garbage = session.client.CollectGarbage(request, session.Call());
  if (!garbage.ok()) {
    return session.Fail(garbage.status());
  }
  if (session.flags.json) {
    session.Print(ToJson(*garbage));
  } else {
    PrintGarbage(*garbage, session);
  }
  return kExitOk;
}

int RunBackup(const NoFlags&, Session& session) {
  const auto backup = session.client.BackUpStore(session.Call());
  if (!backup.ok()) {
    return session.Fail(backup.status());
  }
  if (session.flags.json) {
    session.Print(ToJson(*backup));
  } else {
    session.console.out << "backup " << backup->id() << ": "
                        << Count(backup->num_files(), "file") << ", "
                        << HumanBytes(backup->bytes()) << "\n";
  }
  return kExitOk;
}

int RunCompact(const NoFlags&, Session& session) {
  const auto sizes = session.client.CompactStore(session.Call());
  if (!sizes.ok()) {
    return session.Fail(sizes.status());
  }
  if (session.flags.json) {
    session.Print(ToJson(*sizes));
  } else {
    session.console.out << "on disk: " << HumanBytes(sizes->disk_bytes_before())
                        << " before, " << HumanBytes(sizes->disk_bytes_after())
                        << " after\n";
  }
  return kExitOk;
}

template <typename Flags>
CLI::App& Add(Registry& registry, CLI::App& store, const std::string& name,
              const std::string& description, std::shared_ptr<Flags> flags,
              int (*run)(const Flags&, Session&)) {
  CLI::App* command = store.add_subcommand(name, description);
  command->callback([&registry, flags, run] {
    registry.chosen = [flags, run](Session& session) {
      return run(*flags, session);
    };
  });
  return *command;
}

void AddPaceFlag(CLI::App& command, CheckFlags& flags, const char* otherwise) {
  // Up to 1 TB/s: in bytes it must fit 64 bits.
  command
      .add_option(
          "--max-rate", flags.max_megabytes_per_second,
          absl::StrCat("Megabytes read per second (default: ", otherwise, ")"))
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("MB/S");
}

void RegisterChecks(Registry& registry, CLI::App& store) {
  auto verify = std::make_shared<CheckFlags>();
  CLI::App& verifier =
      Add(registry, store, "verify",
          "Read and check every record, and name the damaged ones", verify,
          &RunVerify);
  AddPaceFlag(verifier, *verify, "as fast as it goes");
  verifier.add_flag("--skip-files", verify->skip_files,
                    "Leave out the checksums of the database's own files");
  auto scrub = std::make_shared<CheckFlags>();
  CLI::App& scrubber =
      Add(registry, store, "scrub",
          "Verify at a gentle pace, and take damaged sets out so that `ovdiff "
          "add` builds them again",
          scrub, &RunScrub);
  AddPaceFlag(scrubber, *scrub, "64");
}

void RegisterGarbage(Registry& registry, CLI::App& store) {
  auto flags = std::make_shared<GarbageFlags>();
  CLI::App& command = Add(registry, store, "gc",
                          "Say what no vocabulary needs; with --yes, delete it",
                          flags, &RunGarbage);
  command
      .add_option("--keep-versions", flags->keep_versions,
                  "Newest versions kept of each vocabulary; older ones go, and "
                  "what only they need (default: all)")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--min-age", flags->min_age_s,
                  "Seconds: sets that are younger are kept (default: 3600)")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--yes", flags->yes, "Delete it");
}

}  // namespace

void RegisterStore(Registry& registry) {
  CLI::App& store = *registry.app.add_subcommand(
      "store", "Look after the server's store while it serves");
  store.require_subcommand(1);
  store.fallthrough();
  Add(registry, store, "stats", "Counts, sizes, health",
      std::make_shared<NoFlags>(), &RunStats);
  RegisterChecks(registry, store);
  RegisterGarbage(registry, store);
  Add(registry, store, "backup",
      "Copy the store into the server's folder of backups (ovdiffd "
      "--backup-dir)",
      std::make_shared<NoFlags>(), &RunBackup);
  Add(registry, store, "compact",
      "Give the space of what was deleted back to the volume",
      std::make_shared<NoFlags>(), &RunCompact);
  store.footer(
      R"(Calls and jobs go on meanwhile; one of these, but for stats, runs at a time.
Ctrl-C ends it early. A store that no server has open: `ovdiffd store --help`.

Exit codes of verify and scrub: 0 no damage, 5 damage found.

Examples:
  ovdiff store verify --json | jq '.problems[].key'
  ovdiff store gc --keep-versions 10
  ovdiff store gc --keep-versions 10 --yes && ovdiff store compact)");
}

}  // namespace ovdiff::client
