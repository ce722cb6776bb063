// The command line of ovdiffd.
#ifndef OVDIFF_SERVER_FLAGS_H_
#define OVDIFF_SERVER_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

struct Flags {
  engine::EngineOptions engine;
  std::string store_path;  // "memory": nothing is kept.
  store::StoreOptions store;
  ServerOptions server;
  std::vector<std::string> trusted_pack_key_paths;
  std::string address_file;
  std::string log_level = "info";
  bool log_as_json = false;
};

// Fills `flags` from the command line and, with --config, a file of the same
// names. An exit code if the program should end instead: 0 after --help and
// --version, 2 after a mistake, which it has printed.
std::optional<int> ParseFlags(int argc, char** argv, Flags& flags);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_FLAGS_H_
