// Options of requests: a profile's numbers with what the request sets.
#ifndef OVDIFF_SERVER_REQUEST_OPTIONS_H_
#define OVDIFF_SERVER_REQUEST_OPTIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/method_profile.h"
#include "engine/engine.h"
#include "ovdiff/v1/info_service.pb.h"
#include "ovdiff/v1/segmentation_service.pb.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"

namespace ovdiff::server {

// The profile of that name; empty: the server's default. kInvalidArgument with
// the names that there are, or with what the bundle lacks for it. Lives as long
// as `info`.
absl::StatusOr<const MethodProfile*> FindProfile(
    const std::string& name, const engine::EngineInfo& info);

struct ResolvedBuildOptions {
  GenerationOptions generation;
  PrototypeOptions prototype;
};
ResolvedBuildOptions ToBuildOptions(const v1::BuildOptions& options,
                                    const MethodProfile& profile);
// All fields set.
v1::BuildOptions FromBuildOptions(const ResolvedBuildOptions& options,
                                  const engine::EngineInfo& info);
// kInvalidArgument naming the option: the server's limits, then the engine's.
absl::Status ValidateBuildOptions(const ResolvedBuildOptions& options,
                                  const engine::Engine& engine,
                                  const Limits& limits);

// kInvalidArgument naming the profile or the option that is out of range.
absl::StatusOr<SegmentOptions> ToSegmentOptions(
    const std::string& profile, const v1::SegmentOptions& options,
    const engine::Engine& engine);
// All fields set.
v1::SegmentOptions FromSegmentOptions(const SegmentOptions& options,
                                      const engine::EngineInfo& info);

v1::Profile FromProfile(const MethodProfile& profile,
                        const engine::EngineInfo& info);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_REQUEST_OPTIONS_H_
