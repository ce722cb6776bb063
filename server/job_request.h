// An AddClasses request as a job: its identity and its first record.
#ifndef OVDIFF_SERVER_JOB_REQUEST_H_
#define OVDIFF_SERVER_JOB_REQUEST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "ovdiff/storage/v1/job_record.pb.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/request_options.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Format of JobRecord that this server writes, and the newest it reads.
inline constexpr int kJobRecordFormat = 1;

// Everything that can be checked without the store. kInvalidArgument.
absl::Status ValidateJobRequest(const v1::AddClassesRequest& request,
                                const ResolvedBuildOptions& options,
                                const engine::Engine& engine,
                                const Limits& limits);

// A new, queued job with its options and fingerprints written out. Its id is
// the request's, or comes from its content.
storage::v1::JobRecord MakeJobRecord(const v1::AddClassesRequest& request,
                                     const ResolvedBuildOptions& options,
                                     const engine::Engine& engine);

// Content keys of the sets, of both kinds, that the unfinished jobs of `store`
// have made or will make: no garbage. kFailedPrecondition for a job of a newer
// format, as it cannot be told what that one needs.
absl::StatusOr<std::vector<store::ContentKey>> KeysOfJobs(
    const store::PrototypeStore& store);

// kAlreadyExists saying in what `wanted` differs from the job `held`.
absl::Status RequestIdReused(const v1::AddClassesRequest& held,
                             const v1::AddClassesRequest& wanted,
                             const v1::BuildOptions& options);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_JOB_REQUEST_H_
