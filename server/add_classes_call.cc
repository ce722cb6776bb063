#include "server/add_classes_call.h"

#include <utility>

#include "server/grpc_status.h"

namespace ovdiff::server {

grpc::ServerWriteReactor<v1::AddClassesResponse>* AddClassesCall::Start(
    JobQueue& jobs, Executor& executor, Metrics& metrics,
    const MethodInfo& method, grpc::CallbackServerContext* context,
    const v1::AddClassesRequest& request) {
  const std::shared_ptr<AddClassesCall> call(
      new AddClassesCall(metrics, method, context));
  call->self_ = call;
  metrics.MessageReceived(method);
  // A copy of the request: a cancelled call is gone while its job is accepted.
  Executor::Task task;
  task.run = [call, &jobs, request] { call->Accept(jobs, request); };
  task.drop = [call](const absl::Status& status) { call->FinishWith(status); };
  const auto ticket = executor.Submit(std::move(task));
  if (!ticket.ok()) {
    call->FinishWith(ticket.status());
  }
  return call.get();
}

AddClassesCall::AddClassesCall(Metrics& metrics, const MethodInfo& method,
                               grpc::CallbackServerContext* context)
    : record_(metrics, method, context->peer()) {}

void AddClassesCall::Accept(JobQueue& jobs,
                            const v1::AddClassesRequest& request) {
  const auto job = jobs.Accept(request);
  if (!job.ok()) {
    FinishWith(job.status());
    return;
  }
  {
    MutexLock lock(&mutex_);
    job_ = *job;
    if (!is_finished_) {
      record_.Note("job", (*job)->id());
      record_.Note("vocabulary", request.vocabulary());
      record_.Note("num_classes", request.classes_size());
    }
  }
  (*job)->AddWatcher(shared_from_this());
}

void AddClassesCall::OnJobChanged() { Advance(); }

void AddClassesCall::TakeUpdate() {
  Job::Update update = job_->ChangesSince(revision_);
  if (!update.interruption.ok()) {
    has_result_ = true;
    result_ = update.interruption;
    return;
  }
  if (!update.has_changes) {
    return;
  }
  revision_ = update.revision;
  has_result_ = update.is_terminal;
  message_.Clear();
  *message_.mutable_job() = std::move(update.job);
  message_.set_last(update.is_terminal);
  is_writing_ = true;
}

AddClassesCall::Action AddClassesCall::ChooseAction() {
  if (is_writing_ || is_finished_) {
    return Action::kNone;
  }
  if (!has_result_ && job_ != nullptr) {
    TakeUpdate();
  }
  if (is_writing_) {
    record_.metrics().MessageSent(record_.method());
    return Action::kWrite;
  }
  if (!has_result_) {
    return Action::kNone;
  }
  is_finished_ = true;
  if (job_ != nullptr) {
    record_.Note("version", job_->Snapshot().version());
  }
  record_.End(result_);
  return Action::kFinish;
}

void AddClassesCall::Advance() {
  Action action = Action::kNone;
  grpc::Status status;
  {
    MutexLock lock(&mutex_);
    action = ChooseAction();
    status = ToGrpcStatus(result_);
  }
  // Without the lock: gRPC may call back on this thread.
  switch (action) {
    case Action::kNone:
      break;
    case Action::kWrite:
      StartWrite(&message_);
      break;
    case Action::kFinish:
      Finish(std::move(status));
      break;
  }
}

void AddClassesCall::FinishWith(const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    if (!has_result_) {
      has_result_ = true;
      result_ = status;
    }
  }
  Advance();
}

void AddClassesCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    is_writing_ = false;
  }
  if (ok) {
    Advance();
  } else {
    FinishWith(absl::CancelledError("the caller went away; the job goes on"));
  }
}

void AddClassesCall::OnCancel() {
  FinishWith(absl::CancelledError("the caller went away; the job goes on"));
}

void AddClassesCall::OnDone() { self_.reset(); }

}  // namespace ovdiff::server
