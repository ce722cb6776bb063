#include "engine/bundle/profiles.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/json_object.h"
#include "engine/bundle/options_json.h"
#include "engine/bundle/shipped_profiles.h"
#include "engine/bundle/validate_options.h"
#include "engine/weights/hub_config_file.h"

namespace ovdiff::engine {
namespace {

using nlohmann::json;

constexpr int kProfileFormat = 1;

absl::StatusOr<MethodProfile> Parse(const json& document,
                                    const std::string& where,
                                    const Bundle& bundle) {
  MethodProfile profile;
  JsonObject root(document, where);
  int format = 0;
  root.Required("format", &format);
  if (format != kProfileFormat) {
    root.Fail("format", absl::StrCat("is ", format, "; this program reads ",
                                     kProfileFormat));
  }
  root.Required("name", &profile.name);
  root.Optional("description", &profile.description);
  std::string base;
  root.Required("base", &base);
  if (base != "bundle" && base != "paper") {
    root.Fail("base",
              absl::StrCat("is \"", base, "\"; allowed are bundle, paper"));
  }
  if (base == "bundle") {
    profile.generation = bundle.generation;
    profile.prototype = bundle.prototype;
    profile.segment = bundle.segment;
  } else {
    profile.prototype.spaces = bundle.DefaultSpaces();
  }
  ReadOptionOverrides(root, &profile.generation, &profile.prototype,
                      &profile.segment);
  OVDIFF_RETURN_IF_ERROR(root.Finish());
  return profile;
}

absl::Status Validate(const MethodProfile& profile, const Bundle& bundle) {
  OVDIFF_RETURN_IF_ERROR(ValidateOptions(profile.generation));
  OVDIFF_RETURN_IF_ERROR(ValidateOptions(profile.prototype, bundle));
  return ValidateOptions(profile.segment, bundle);
}

}  // namespace

absl::StatusOr<MethodProfile> ReadProfile(const std::string& path,
                                          const Bundle& bundle) {
  OVDIFF_ASSIGN_OR_RETURN(const json document, ReadHubConfig(path));
  OVDIFF_ASSIGN_OR_RETURN(MethodProfile profile, Parse(document, path, bundle));
  for (const MethodProfile& shipped : ShippedProfiles(bundle)) {
    if (shipped.name == profile.name || profile.name.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": \"name\" is \"", profile.name,
                       "\"; take a name that no shipped profile has, and that "
                       "is not empty"));
    }
  }
  const absl::Status valid = Validate(profile, bundle);
  if (!valid.ok()) {
    return absl::Status(valid.code(),
                        absl::StrCat(path, ": ", valid.message()));
  }
  return profile;
}

std::vector<MethodProfile> ShippedProfiles(const Bundle& bundle) {
  std::vector<MethodProfile> profiles;
  for (const char* text : kShippedProfiles) {
    // Our own data: wrong only if this program is.
    MethodProfile profile =
        Parse(json::parse(text), "shipped profile", bundle).value();
    profile.unavailable = std::string(Validate(profile, bundle).message());
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

}  // namespace ovdiff::engine
