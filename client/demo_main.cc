// ovdiff-demo: what `make demo` runs against the server it started.
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "client/cli.h"
#include "client/demo.h"
#include "client/status.h"

int main(int argc, char** argv) {
  using namespace ovdiff::client;  // NOLINT: a program, not a header.
  Interrupts& interrupts = WatchInterrupts();
  Console console = StandardConsole();
  DemoOptions options;
  ClientOptions client_options;
  double connect_timeout_s = 3;
  CLI::App app(
      "Adds classes, segments the scenes of a bundle, measures, and writes a "
      "page",
      "ovdiff-demo");
  app.add_option("--server", client_options.server,
                 "Address of ovdiffd, host:port")
      ->envname("OVDIFF_SERVER")
      ->capture_default_str();
  app.add_option("--connect-timeout", connect_timeout_s,
                 "Seconds to keep trying to reach the server")
      ->capture_default_str();
  app.add_option("--scenes", options.scenes,
                 "Folder with scenes.json and its pictures")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("-o,--out", options.out, "Folder for the results")
      ->capture_default_str();
  app.add_option("-v,--vocabulary", options.vocabulary, "Vocabulary to add to")
      ->capture_default_str();
  app.add_option("--pictures", options.pictures,
                 "Support pictures per class (default: the server's)")
      ->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps,
                 "Denoising steps (default: the server's)")
      ->check(CLI::PositiveNumber);
  app.add_option("--parallel", options.parallel, "Scenes under way at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Create(client_options);
  absl::Status status = client.status();
  if (status.ok()) {
    status = (*client)->Connect(absl::Seconds(connect_timeout_s),
                                interrupts.first.get_token());
    if (!status.ok()) {
      std::cerr << "ovdiff-demo: " << Readable(status) << "\n";
      return kExitUnreachable;
    }
    status = RunDemo(options, **client, console, interrupts).status();
  }
  if (!status.ok()) {
    std::cerr << "ovdiff-demo: " << Readable(status) << "\n";
    return interrupts.first.stop_requested() ? kExitInterrupted : kExitFailed;
  }
  return kExitOk;
}
