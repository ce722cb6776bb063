// Limits of the method's options, and how they combine with a bundle's numbers.
// Torch-free.
#ifndef OVDIFF_ENGINE_BUNDLE_VALIDATE_OPTIONS_H_
#define OVDIFF_ENGINE_BUNDLE_VALIDATE_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/bundle/bundle.h"

namespace ovdiff::engine {

// Where the class stands in GenerationOptions::prompt_template.
inline constexpr char kTemplateSlot[] = "{}";

// kInvalidArgument naming the option, its value and what is allowed.
absl::Status ValidateOptions(const GenerationOptions& options);
absl::Status ValidateOptions(const PrototypeOptions& options,
                             const Bundle& bundle);
absl::Status ValidateOptions(const SegmentOptions& options,
                             const Bundle& bundle);

// The request's windows with the bundle's numbers where it has none.
WindowOptions ResolveWindows(const WindowOptions& windows,
                             const Bundle& bundle);

// Where prototypes are made: the spaces that are `requested`, or those of the
// bundle that are not optional if it is empty; in the bundle's order. REQUIRES:
// validated.
std::vector<std::string> ResolveSpaces(
    const std::vector<std::string>& requested, const Bundle& bundle);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_VALIDATE_OPTIONS_H_
