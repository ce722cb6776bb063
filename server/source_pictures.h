// The support pictures that a class's prototypes come from, for people.
#ifndef OVDIFF_SERVER_SOURCE_PICTURES_H_
#define OVDIFF_SERVER_SOURCE_PICTURES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// One of them, as PNG files of at most 256 pixels a side. Files that could not
// be had are empty.
struct SourcePicture {
  std::string picture_png;
  // Masks as large as the picture: what gave vectors to the class's foreground,
  // and to its background. Of a negative's picture its object is the latter,
  // and there is no former.
  std::string foreground_png;
  std::string background_png;
};

// Pictures `wanted` of the class, of which `record` is the prototype set. The
// masks are made again, which is exact where the options that made the set are
// known (encoder_options.h) and not done otherwise. A picture that is not
// stored, or cannot be read, is not in the answer; what is wrong with those
// that should be there is logged. Fails only as `control`, or as the store does
// when it is not the record's fault. Blocks on the store and, for masks, on the
// engine's bulk lane.
absl::StatusOr<std::map<int, SourcePicture>> ReadSourcePictures(
    engine::Engine& engine, const store::PrototypeStore& store,
    const Limits& limits, const store::ClassEntry& entry,
    const store::PrototypeRecord& record, const std::vector<int>& wanted,
    const CallControl& control);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SOURCE_PICTURES_H_
