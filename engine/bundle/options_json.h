// The "options" of bundle.json and of profiles: defaults of the method's
// numbers. Torch-free.
#ifndef OVDIFF_ENGINE_BUNDLE_OPTIONS_JSON_H_
#define OVDIFF_ENGINE_BUNDLE_OPTIONS_JSON_H_

#include "engine/base/method_options.h"
#include "engine/bundle/json_object.h"

namespace ovdiff::engine {

// Reads "options": {"generation": {…}, "prototype": {…}, "segment": {…}}, each
// with the fields of its struct in engine/base/method_options.h by name, all
// optional. Values are checked by ValidateOptions(), not here.
void ReadOptionOverrides(JsonObject& root, GenerationOptions* generation,
                         PrototypeOptions* prototype, SegmentOptions* segment);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_OPTIONS_JSON_H_
