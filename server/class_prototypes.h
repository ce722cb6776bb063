// A class's pictures to its prototype set, what it is not included.
#ifndef OVDIFF_SERVER_CLASS_PROTOTYPES_H_
#define OVDIFF_SERVER_CLASS_PROTOTYPES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/base/prototype_set.h"
#include "engine/engine.h"
#include "server/support_records.h"

namespace ovdiff::server {

// Appends the foreground of `negative` to the background of `set`, space by
// space, with its levels. `first_picture`: index of the negative's first
// picture among those of the class (support_records.h); its source pictures are
// raised by it. kInternal if the two have not the same spaces.
absl::Status AddNegative(const PrototypeSet& negative, int first_picture,
                         PrototypeSet& set);

// The prototype set of the class's own pictures, with the foregrounds of its
// negatives on its background side. One set after the other; `progress` counts
// the pictures of all of them. Errors are the engine's; those of a negative say
// which it is.
absl::StatusOr<PrototypeSet> BuildClassPrototypes(
    engine::Engine& engine, const ClassPictures& pictures,
    const PrototypeOptions& options, const CallControl& control,
    const engine::ProgressCallback& progress);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CLASS_PROTOTYPES_H_
