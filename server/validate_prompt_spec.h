// Checks of what a class is shown by besides its prompt: synonyms, given
// pictures, negatives. Their pixels are server/given_pictures.h's.
#ifndef OVDIFF_SERVER_VALIDATE_PROMPT_SPEC_H_
#define OVDIFF_SERVER_VALIDATE_PROMPT_SPEC_H_

#include <string>

#include "absl/status/status.h"
#include "engine/base/method_options.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"

namespace ovdiff::server {

// Numbers, texts, and that nothing is said twice or contradicts the rest; name
// and prompt are checked before. `field` is the spec's: "classes[0]".
// kInvalidArgument naming the field.
absl::Status ValidatePromptSpec(const v1::ClassSpec& spec,
                                const std::string& field, const Limits& limits);

// All prompts fit into the text encoder, and the pictures are not too many.
// kInvalidArgument naming the field.
absl::Status ValidatePromptsFit(const v1::ClassSpec& spec,
                                const std::string& field,
                                const GenerationOptions& options,
                                const engine::Engine& engine);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_VALIDATE_PROMPT_SPEC_H_
