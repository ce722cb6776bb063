#include "client/cli.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli_commands.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

constexpr char kDescription[] =
    "ovdiff: class names in, pixel masks out. Talks to an ovdiffd server.";

constexpr char kFooter[] = R"(Examples:
  ovdiff add "red sneaker" "blue bag" --vocabulary shop
  ovdiff segment photo.jpg --vocabulary shop -o out/
  ovdiff explain photo.jpg --at 120,88 --vocabulary shop
  ovdiff stream frames/ --vocabulary shop -o out/ --json
  ovdiff classes --vocabulary shop --json | jq -r '.classes[].name'
  ovdiff export --vocabulary shop > shop.ovpack
  ovdiff import shop.ovpack --vocabulary shop
  ovdiff diff shop@12 shop@13
  ovdiff jobs cancel JOB

Results go to standard output, progress and errors to standard error.
With --json, standard output is JSON only.

Exit codes:
  0  all done
  1  the request failed
  2  wrong usage
  3  the server cannot be reached
  4  partly failed: some photos or classes failed, the others are done
  5  the store was verified, and has damaged records
  130  interrupted)";

void AddCommonFlags(CLI::App& app, CommonFlags& flags) {
  app.add_option("--server", flags.server, "Address of ovdiffd, host:port")
      ->envname("OVDIFF_SERVER")
      ->capture_default_str();
  app.add_option("--connect-timeout", flags.connect_timeout_s,
                 "Seconds to keep trying to reach the server")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--timeout", flags.timeout_s,
                 "Seconds that a request may take (default: 60; none for add, "
                 "stream, export, import and long operations on the store)")
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", flags.json, "JSON on standard output");
}

void RegisterCommands(Registry& registry) {
  RegisterAdd(registry);
  RegisterSegment(registry);
  RegisterExplain(registry);
  RegisterStream(registry);
  RegisterVocabularyCommands(registry);
  RegisterPacks(registry);
  RegisterDiff(registry);
  RegisterJobs(registry);
  RegisterStore(registry);
  RegisterServerCommands(registry);
}

std::string Advice(const absl::Status& status, const CommonFlags& flags) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return "  raise --timeout, or try again when the server is less busy";
    case absl::StatusCode::kUnimplemented:
      return absl::StrCat("  is ", flags.server,
                          " an ovdiffd of this version?");
    default:
      return "";
  }
}

}  // namespace

CallOptions Session::Call() const {
  CallOptions options;
  options.stop = interrupts.first.get_token();
  if (flags.timeout_s.has_value()) {
    options.timeout = absl::Seconds(*flags.timeout_s);
  }
  return options;
}

int Session::ExitCodeOf(const absl::Status& status) const {
  if (status.ok()) {
    return kExitOk;
  }
  if (absl::IsCancelled(status) && interrupts.first.stop_requested()) {
    return kExitInterrupted;
  }
  bool from_server = false;
  status.ForEachPayload(
      [&](absl::string_view, const absl::Cord&) { from_server = true; });
  // A server that refuses for now says so with details; a broken line has none.
  return absl::IsUnavailable(status) && !from_server ? kExitUnreachable
                                                     : kExitFailed;
}

int Session::Fail(const absl::Status& status) const {
  console.err << "ovdiff: " << Readable(status) << "\n";
  const std::string advice = Advice(status, flags);
  if (!advice.empty()) {
    console.err << advice << "\n";
  }
  if (flags.json) {
    Print({{"error", ErrorJson(status)}});
  }
  return ExitCodeOf(status);
}

void Session::Print(const Json& json) const {
  console.out << Dump(json) << "\n";
}

int RunCli(const std::vector<std::string>& arguments, Console& console,
           Interrupts& interrupts) {
  CLI::App app(kDescription, "ovdiff");
  CommonFlags flags;
  AddCommonFlags(app, flags);
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  app.get_formatter()->column_width(34);
  Registry registry{.app = app, .chosen = nullptr};
  RegisterCommands(registry);
  try {
    // CLI11 takes them last first.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error, console.out, console.err) == 0 ? kExitOk
                                                          : kExitUsage;
  }
  ClientOptions options;
  options.server = flags.server;
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options);
  if (!client.ok()) {
    console.err << "ovdiff: " << client.status().message() << "\n";
    return kExitUsage;
  }
  Session session{flags, console, interrupts, **client};
  const absl::Status connected = (*client)->Connect(
      absl::Seconds(flags.connect_timeout_s), interrupts.first.get_token());
  if (!connected.ok()) {
    return session.Fail(connected);
  }
  return registry.chosen(session);
}

}  // namespace ovdiff::client
