// Profiles: named sets of the method's options, as data (method.md 13 and 14
// list where the paper and its official program differ). Torch-free.
//
// A profile is JSON:
//   {"format": 1, "name": "mine", "description": "…", "base": "bundle",
//    "options": {"generation": {…}, "prototype": {…}, "segment": {…}}}
// `base`: what `options` changes: "bundle", the bundle's own defaults, or
// "paper", the numbers of the paper, whatever the bundle says. The fields of
// `options` are those of engine/base/method_options.h.
#ifndef OVDIFF_ENGINE_BUNDLE_PROFILES_H_
#define OVDIFF_ENGINE_BUNDLE_PROFILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_profile.h"
#include "engine/bundle/bundle.h"

namespace ovdiff::engine {

// A profile file of the user's. kNotFound if there is none,
// kFailedPrecondition for one that is not as above, naming the field, or that
// has a shipped profile's name; kInvalidArgument for a value out of range, or
// for what the bundle lacks.
absl::StatusOr<MethodProfile> ReadProfile(const std::string& path,
                                          const Bundle& bundle);

// The shipped ones, by name. One that the bundle cannot do says why in
// `unavailable`; "default", the bundle's own defaults, always can if the bundle
// is valid.
std::vector<MethodProfile> ShippedProfiles(const Bundle& bundle);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_PROFILES_H_
