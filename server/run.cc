#include "server/run.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/admin_server.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/readiness.h"
#include "server/server.h"
#include "server/signals.h"

namespace ovdiff::server {
namespace {

// Whole or not there at all: whoever waits for the file can read it at once.
absl::Status WriteAddressFile(const std::string& path, const Server& server,
                              const AdminServer& admin) {
  if (path.empty()) {
    return absl::OkStatus();
  }
  const std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary);
    file << server.address() << "\n" << admin.address() << "\n";
    if (!file.flush()) {
      return absl::UnavailableError(absl::StrCat("cannot write ", temporary));
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<store::PrototypeStore>> OpenStore(
    const Flags& flags) {
  if (flags.store_path == "memory") {
    return store::NewInMemoryStore();
  }
  store::RecoveryReport report;
  auto opened = store::OpenRocksDbStore(flags.store, &report);
  for (const std::string& action : report.actions) {
    Log(LogLevel::kWarning, "store_recovered", {{"action", action}});
  }
  return opened;
}

absl::Status Serve(const Flags& flags, const EngineFactory& create_engine) {
  Metrics metrics;
  Readiness readiness;
  OVDIFF_ASSIGN_OR_RETURN(
      const auto admin,
      AdminServer::Create(flags.server.admin_address, metrics, readiness));
  readiness.SetNotReady("starting: opening the store");
  OVDIFF_ASSIGN_OR_RETURN(const auto store, OpenStore(flags));
  readiness.SetNotReady("starting: loading the bundle");
  OVDIFF_ASSIGN_OR_RETURN(const auto engine, create_engine(flags.engine));
  OVDIFF_ASSIGN_OR_RETURN(
      const auto server, Server::Create(flags.server, {*engine, *store, metrics,
                                                       readiness, *admin}));
  OVDIFF_RETURN_IF_ERROR(WriteAddressFile(flags.address_file, *server, *admin));
  Log(LogLevel::kInfo, "ready",
      {{"version", std::string(kServerVersion)},
       {"address", server->address()},
       {"admin_address", admin->address()},
       {"device", engine->info().device},
       {"bundle", engine->info().bundle_name},
       {"security", "none: plain text, no authentication"}});

  WaitForSignals(1, absl::InfiniteDuration());
  server->StartDrain();
  WaitForSignals(2, flags.server.drain_delay);  // A second one skips the rest.
  ExitOnNextSignal();
  server->Stop();
  return absl::OkStatus();
}

}  // namespace

int RunServer(const Flags& flags, const EngineFactory& create_engine) {
  InitLogging(flags.log_level, flags.log_as_json);
  const absl::Status status = Serve(flags, create_engine);
  if (!status.ok()) {
    std::cerr << "ovdiffd: " << status.message() << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace ovdiff::server
