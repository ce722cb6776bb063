// What the calls of client.h share: deadlines, cancellation, errors.
#ifndef OVDIFF_CLIENT_CALLS_H_
#define OVDIFF_CLIENT_CALLS_H_

#include <stop_token>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/status.h"
#include "grpcpp/client_context.h"

namespace ovdiff::client {

inline absl::Time Deadline(const CallOptions& options,
                           absl::Duration otherwise) {
  return absl::Now() + options.timeout.value_or(otherwise);
}

inline void SetDeadline(absl::Time deadline, grpc::ClientContext& context) {
  if (deadline != absl::InfiniteFuture()) {
    context.set_deadline(absl::ToChronoTime(deadline));
  }
}

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Unary(
    Stub& stub,
    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                 Response*),
    const Request& request, const CallOptions& options,
    absl::Duration otherwise) {
  grpc::ClientContext context;
  SetDeadline(Deadline(options, otherwise), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return response;
}

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_CALLS_H_
