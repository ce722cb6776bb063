// A server's error as absl::Status, with its google.rpc details made readable.
#ifndef OVDIFF_CLIENT_STATUS_H_
#define OVDIFF_CLIENT_STATUS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace ovdiff::client {

// The same code; the message followed by one indented line per detail that says
// more than the message does (bad fields, missing resources, when to try
// again). Each detail is also kept, serialised, as a payload under its type
// URL.
absl::Status FromRpcStatus(const google::rpc::Status& status);

// As above, from what a call returned; details come from its trailing metadata.
absl::Status FromGrpcStatus(const grpc::Status& status);

// How long the server asks to wait before a retry; nullopt if it did not say.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// "NOT_FOUND: no vocabulary 'shop'", for people; details on their own lines.
std::string Readable(const absl::Status& status);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_STATUS_H_
