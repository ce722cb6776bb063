// Errors of the server: absl::Status inside, with google.rpc details as
// payloads; google.rpc.Status in the trailer `grpc-status-details-bin` outside.
#ifndef OVDIFF_SERVER_GRPC_STATUS_H_
#define OVDIFF_SERVER_GRPC_STATUS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace ovdiff::server {

using ErrorMetadata = std::vector<std::pair<std::string, std::string>>;

// kInvalidArgument with BadRequest{field} and ErrorInfo. `reason` is one of
// error_reasons.h here and below.
absl::Status FieldError(absl::string_view field, absl::string_view message,
                        absl::string_view reason);
// `code` with ResourceInfo{type, name} and ErrorInfo.
absl::Status ResourceError(absl::StatusCode code, absl::string_view type,
                           absl::string_view name, absl::string_view message,
                           absl::string_view reason);
// kFailedPrecondition with PreconditionFailure{type = reason, subject}.
absl::Status PreconditionError(absl::string_view subject,
                               absl::string_view message,
                               absl::string_view reason);
// kUnavailable with RetryInfo{retry_after}.
absl::Status OverloadError(absl::string_view message, absl::string_view reason,
                           absl::Duration retry_after);

// `status` with an ErrorInfo, replacing the one it has. OK stays OK.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        const ErrorMetadata& metadata = {});
// `status` with "`prefix`: " before its message; payloads kept. OK stays OK.
absl::Status WithPrefix(const absl::Status& status, absl::string_view prefix);
// `status` as kInvalidArgument about `field`, if that is its code and it names
// no field yet.
absl::Status WithField(absl::Status status, absl::string_view field,
                       absl::string_view reason);

// ErrorInfo.reason, or empty.
std::string ReasonOf(const absl::Status& status);

// As callers see it: absolute paths are taken out (they belong in the log), the
// message is cut at 1024 bytes on a UTF-8 boundary, and there is always an
// ErrorInfo. Codes keep their numbers.
google::rpc::Status ToRpcStatus(const absl::Status& status);
grpc::Status ToGrpcStatus(const absl::Status& status);

// "INVALID_ARGUMENT", … as gRPC spells it, for metrics and logs.
std::string CodeName(absl::StatusCode code);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_GRPC_STATUS_H_
