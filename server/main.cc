// ovdiffd: the server. Everything is in run.h; this joins it with the engine.
#include "engine/engine.h"
#include "server/flags.h"
#include "server/run.h"
#include "server/signals.h"

int main(int argc, char** argv) {
  ovdiff::server::BlockSignals();
  ovdiff::server::Flags flags;
  if (const auto exit_code = ovdiff::server::ParseFlags(argc, argv, flags)) {
    return *exit_code;
  }
  return ovdiff::server::RunServer(flags, ovdiff::engine::CreateEngine);
}
