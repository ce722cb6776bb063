// Which options made a stored prototype set.
#ifndef OVDIFF_SERVER_ENCODER_OPTIONS_H_
#define OVDIFF_SERVER_ENCODER_OPTIONS_H_

#include <optional>

#include "engine/base/method_options.h"
#include "engine/engine.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// A record has the fingerprint of its options, not the options. So the engine's
// defaults and its profiles are tried, with what a request may set besides
// changed in the usual ways; what hashes to the record's fingerprint is it. The
// number of parts is read off the vectors. nullopt: none does.
std::optional<PrototypeOptions> FindEncoderOptions(
    const engine::Engine& engine, const store::PrototypeRecord& record);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_ENCODER_OPTIONS_H_
