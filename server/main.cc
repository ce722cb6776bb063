// ovdiffd: the server, and `ovdiffd store …`. Everything is in run.h and
// store_tool.h; this joins it with the engine.
#include <iostream>
#include <string_view>

#include "engine/engine.h"
#include "server/flags.h"
#include "server/run.h"
#include "server/signals.h"
#include "server/store_tool.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "store") {
    return ovdiff::server::RunStoreTool(argc, argv, std::cout, std::cerr);
  }
  ovdiff::server::BlockSignals();
  ovdiff::server::Flags flags;
  if (const auto exit_code = ovdiff::server::ParseFlags(argc, argv, flags)) {
    return *exit_code;
  }
  return ovdiff::server::RunServer(flags, ovdiff::engine::CreateEngine);
}
