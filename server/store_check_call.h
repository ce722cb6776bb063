// StoreCheckCall: one VerifyStore or ScrubStore stream.
#ifndef OVDIFF_SERVER_STORE_CHECK_CALL_H_
#define OVDIFF_SERVER_STORE_CHECK_CALL_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "ovdiff/v1/store_service.pb.h"
#include "server/call_record.h"
#include "server/executor.h"
#include "server/grpc_status.h"
#include "server/unary_call.h"

namespace ovdiff::server {

using OnStoreCheck = std::function<void(v1::StoreCheck)>;
// Runs on a worker until it is done or its control says stop; tells of its
// progress; returns the messages that end the stream, the last one last.
using StoreCheckWork =
    std::function<absl::StatusOr<std::vector<v1::StoreCheck>>(
        const CallControl&, const OnStoreCheck&)>;

// Writes what the work tells, one message at a time: progress that comes while
// a message is on its way replaces what waits, so a slow client costs nothing.
// Response: {StoreCheck check; bool last}.
template <typename Response>
class StoreCheckCall final
    : public grpc::ServerWriteReactor<Response>,
      public std::enable_shared_from_this<StoreCheckCall<Response>> {
 public:
  // Owned by gRPC until OnDone(). REQUIRES: the references outlive it.
  static grpc::ServerWriteReactor<Response>* Start(
      Executor& executor, Metrics& metrics, const MethodInfo& method,
      grpc::CallbackServerContext* context, StoreCheckWork work) {
    const std::shared_ptr<StoreCheckCall> call(
        new StoreCheckCall(executor, metrics, method, context));
    call->self_ = call;
    metrics.MessageReceived(method);
    Executor::Task task;
    task.run = [call, work = std::move(work)] {
      call->End(work(call->control_, [call](v1::StoreCheck check) {
        call->Tell(std::move(check));
      }));
    };
    task.drop = [call](absl::Status status) { call->End(std::move(status)); };
    task.deadline = call->control_.deadline;
    const auto ticket = executor.Submit(std::move(task));
    if (ticket.ok()) {
      call->ticket_ = *ticket;
    } else {
      call->End(ticket.status());
    }
    return call.get();
  }

 private:
  enum class Action { kNone, kWrite, kFinish };

  StoreCheckCall(Executor& executor, Metrics& metrics, const MethodInfo& method,
                 grpc::CallbackServerContext* context)
      : executor_(executor), record_(metrics, method, context->peer()) {
    control_.deadline = DeadlineOf(*context, absl::InfiniteDuration());
  }

  void Tell(v1::StoreCheck check) {
    {
      MutexLock lock(&mutex_);
      progress_ = std::move(check);
    }
    Advance();
  }

  // The first result counts: what comes after a cancellation is nobody's.
  void End(absl::StatusOr<std::vector<v1::StoreCheck>> result) {
    {
      MutexLock lock(&mutex_);
      if (!result_.has_value()) {
        result_ = result.status();
        progress_.reset();
        if (result.ok()) {
          ending_.assign(result->begin(), result->end());
        }
      }
    }
    Advance();
  }

  Action ChooseAction() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (is_writing_ || is_finished_) {
      return Action::kNone;
    }
    if (!ending_.empty() || progress_.has_value()) {
      message_.Clear();
      if (progress_.has_value()) {
        *message_.mutable_check() = *std::exchange(progress_, std::nullopt);
      } else {
        *message_.mutable_check() = std::move(ending_.front());
        ending_.pop_front();
        message_.set_last(ending_.empty());
      }
      is_writing_ = true;
      record_.metrics().MessageSent(record_.method());
      return Action::kWrite;
    }
    if (!result_.has_value()) {
      return Action::kNone;
    }
    is_finished_ = true;
    record_.End(*result_);
    return Action::kFinish;
  }

  void Advance() {
    Action action = Action::kNone;
    grpc::Status status;
    {
      MutexLock lock(&mutex_);
      action = ChooseAction();
      if (action == Action::kFinish) {
        status = ToGrpcStatus(*result_);
      }
    }
    // Without the lock: gRPC may call back on this thread.
    if (action == Action::kWrite) {
      this->StartWrite(&message_);
    } else if (action == Action::kFinish) {
      this->Finish(std::move(status));
    }
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mutex_);
      is_writing_ = false;
    }
    if (ok) {
      Advance();
    } else {
      OnCancel();
    }
  }

  // By the caller, its deadline or the end of the server.
  void OnCancel() override {
    control_.cancellation.Cancel();
    executor_.Remove(ticket_);
    {
      MutexLock lock(&mutex_);
      if (!ending_.empty()) {
        ending_.clear();
        result_.reset();  // It was not told.
      }
    }
    End(absl::Now() < control_.deadline
            ? absl::CancelledError("cancelled by the caller")
            : absl::DeadlineExceededError("the deadline has passed"));
  }

  void OnDone() override { self_.reset(); }

  Executor& executor_;
  CallControl control_;
  std::atomic<Executor::Ticket> ticket_{0};  // 0 is no task's.
  std::shared_ptr<StoreCheckCall> self_;     // Until OnDone().

  Mutex mutex_;
  CallRecord record_ ABSL_GUARDED_BY(mutex_);
  // The latest that was not sent.
  std::optional<v1::StoreCheck> progress_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::StoreCheck> ending_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> result_ ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  // While is_writing_ it is gRPC's and nobody touches it.
  Response message_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_CHECK_CALL_H_
