// OpenWhatMustBeRefused(): disk_faults.h.
#include <sys/wait.h>

#include <filesystem>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "store/envelope.h"
#include "store/keys.h"
#include "store/record_codec.h"
#include "tests/store/raw_database.h"
#include "tests/store/torture/crasher.h"
#include "tests/store/torture/disk_faults.h"
#include "tests/store/torture/fault_run.h"

namespace ovdiff::store::torture {
namespace {

constexpr int kHangMs = 60'000;

// Opens the store in a child; how that ended, and its words.
std::string TryToOpen(const std::string& path, const std::string& log,
                      absl::StatusCode& code) {
  SharedState& shared = *NewSharedState();
  shared.stop = true;
  const ChildOptions child = {.path = path, .check = false};
  WaitOrKill(Fork(log, [&] { RunChild(child, shared); }), kHangMs);
  code = static_cast<absl::StatusCode>(shared.open_code.load());
  return shared.words.data();
}

void Expect(absl::StatusCode wanted, const std::vector<std::string>& words,
            const std::string& path, FaultRow& row) {
  absl::StatusCode code = absl::StatusCode::kOk;
  const std::string said = TryToOpen(path, path + ".log", code);
  ++row.runs;
  ++row.outcomes[code == absl::StatusCode::kOk ? "opened" : "open refused"];
  bool says_all = code == wanted;
  for (const std::string& word : words) {
    says_all = says_all && absl::StrContains(said, word);
  }
  if (!says_all && row.first_problem.empty()) {
    row.first_problem =
        absl::StrCat("expected ", absl::StatusCodeToString(wanted),
                     ", got: ", said.empty() ? "it opened" : said);
  }
}

FaultRow SecondOpener(const DiskFaultOptions& options) {
  FaultRun run(options, "second opener");
  SharedState& shared = run.shared();
  ResetChild(shared);
  const ChildOptions first = {.path = run.path(),
                              .workload = FaultRun::workload()};
  const pid_t pid = Fork(run.path() + ".log", [&] { RunChild(first, shared); });
  WaitPast(Phase::kChecking, pid, kHangMs, shared);
  for (int i = 0; i < options.runs; ++i) {
    Expect(absl::StatusCode::kFailedPrecondition,
           {run.path(), "another process"}, run.path(), run.row());
  }
  const int64_t before = shared.acknowledged;
  WaitPast(Phase::kWriting, pid, 50, shared);
  if (shared.acknowledged <= before || shared.has_words) {
    run.row().first_problem =
        absl::StrCat("the first stopped writing: ", shared.words.data());
  }
  WaitOrKill(pid, 0);
  run.CheckAll();
  return run.row();
}

// Puts `record` as the store's format, in a child of its own: this process
// stays free of RocksDB's threads.
void PutFormat(const std::string& path, const std::string& record) {
  WaitOrKill(Fork(path + ".log",
                  [&] {
                    RawDatabase(path).Put("sys", std::string(kStoreFormatKey),
                                          record);
                  }),
             kHangMs);
}

std::string FormatRecord(uint32_t format, uint16_t envelope_format) {
  const std::string sealed =
      EncodeStoreFormat({.format_version = format,
                         .min_reader_version = format,
                         .create_time = absl::UnixEpoch()});
  return SealEnvelope(RecordType::kStoreFormat, PayloadType::kNone,
                      absl::string_view(sealed).substr(kEnvelopeBytes),
                      envelope_format);
}

// The store says another format; afterwards it is given its own back.
FaultRow OtherFormat(const DiskFaultOptions& options, std::string name,
                     uint32_t format, uint16_t envelope_format,
                     absl::StatusCode wanted,
                     const std::vector<std::string>& words) {
  FaultRun run(options, std::move(name));
  run.WriteInHealth(50);
  PutFormat(run.path(), FormatRecord(format, envelope_format));
  Expect(wanted, words, run.path(), run.row());
  PutFormat(run.path(), FormatRecord(kFormatVersion, kFormatVersion));
  run.CheckAll();
  return run.row();
}

}  // namespace

std::vector<FaultRow> OpenWhatMustBeRefused(const DiskFaultOptions& options) {
  const std::string next = absl::StrCat("format ", kFormatVersion + 1);
  const std::string ours = absl::StrCat("up to format ", kFormatVersion);
  return {
      SecondOpener(options),
      OtherFormat(options, "format 0, as older than the first", 0, 0,
                  absl::StatusCode::kDataLoss, {"format 0"}),
      OtherFormat(options, "next format, old envelope", kFormatVersion + 1,
                  kFormatVersion, absl::StatusCode::kFailedPrecondition,
                  {next, ours}),
      OtherFormat(options, "next format, its own envelope", kFormatVersion + 1,
                  kFormatVersion + 1, absl::StatusCode::kFailedPrecondition,
                  {next, ours}),
  };
}

}  // namespace ovdiff::store::torture
