// UnaryCall: a unary RPC of gRPC's callback API that does its work on an
// Executor. A gRPC thread only queues it; cancellation takes a waiting call out
// of the queue at once and reaches a running one through its CallControl.
#ifndef OVDIFF_SERVER_UNARY_CALL_H_
#define OVDIFF_SERVER_UNARY_CALL_H_

#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/call_control.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/call_record.h"
#include "server/executor.h"
#include "server/grpc_status.h"

namespace ovdiff::server {

// What a handler may see of its call.
struct CallScope {
  CallControl control;
  CallRecord record;
};

// The caller's deadline, or `fallback` from now if it set none.
inline absl::Time DeadlineOf(const grpc::CallbackServerContext& context,
                             absl::Duration fallback) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) {
    return absl::Now() + fallback;
  }
  return absl::FromChrono(deadline);
}

class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  struct Options {
    Metrics& metrics;
    Executor& executor;
    MethodInfo method;
    int64_t bytes = 0;  // Of the request.
    absl::Duration default_deadline = absl::Seconds(60);
  };
  // Runs on a worker; fills the response it captured.
  using Handler = std::function<absl::Status(CallScope&)>;

  // Owned by gRPC from here on; deletes itself.
  static grpc::ServerUnaryReactor* Start(const Options& options,
                                         grpc::CallbackServerContext* context,
                                         Handler handler) {
    auto* call = new UnaryCall(options, context, std::move(handler));
    call->Queue();
    return call;
  }

 private:
  UnaryCall(const Options& options, grpc::CallbackServerContext* context,
            Handler handler)
      : executor_(options.executor),
        bytes_(options.bytes),
        handler_(std::move(handler)),
        scope_{{},
               CallRecord(options.metrics, options.method, context->peer())} {
    scope_.control.deadline = DeadlineOf(*context, options.default_deadline);
    options.metrics.MessageReceived(options.method);
  }

  // The task may run, and end the call, before Submit() returns; gRPC deletes
  // this only after Start()'s caller has returned the reactor.
  void Queue() {
    Executor::Task task;
    task.run = [this] { Run(); };
    task.drop = [this](const absl::Status& status) { End(status); };
    task.deadline = scope_.control.deadline;
    task.bytes = bytes_;
    auto ticket = executor_.Submit(std::move(task));
    if (!ticket.ok()) {
      End(std::move(ticket).status());
      return;
    }
    ticket_ = *ticket;
  }

  void Run() {
    absl::Status status = scope_.control.Check();
    if (status.ok()) {
      status = handler_(scope_);
    }
    End(status);
  }

  void End(const absl::Status& status) {
    if (status.ok()) {
      scope_.record.metrics().MessageSent(scope_.record.method());
    }
    scope_.record.End(status);
    Finish(ToGrpcStatus(status));
  }

  void OnCancel() override {
    scope_.control.cancellation.Cancel();
    if (executor_.Remove(ticket_)) {
      End(absl::CancelledError("cancelled by the caller while it waited"));
    }
  }

  void OnDone() override { delete this; }

  Executor& executor_;
  const int64_t bytes_;
  const Handler handler_;
  CallScope scope_;
  std::atomic<Executor::Ticket> ticket_{0};  // 0 is no task's.
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_UNARY_CALL_H_
