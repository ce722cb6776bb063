// RunServer: from parsed flags to exit code.
#ifndef OVDIFF_SERVER_RUN_H_
#define OVDIFF_SERVER_RUN_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "server/flags.h"

namespace ovdiff::server {

using EngineFactory =
    std::function<absl::StatusOr<std::unique_ptr<engine::Engine>>(
        const engine::EngineOptions&)>;

// Opens the admin port (alive, not ready), the store and the engine, serves
// until SIGTERM or SIGINT, drains, stops. 0 after a clean stop; 1, with one
// line on stderr, if something cannot be opened. REQUIRES: BlockSignals() was
// called.
int RunServer(const Flags& flags, const EngineFactory& create_engine);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_RUN_H_
