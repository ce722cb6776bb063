#include "server/import_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/unary_call.h"

namespace ovdiff::server {
namespace {

// For callers that set no deadline: encoding many classes takes a while.
constexpr absl::Duration kDefaultDeadline = absl::Hours(1);

absl::Status OrderError(absl::string_view message) {
  return FieldError("request", message, reasons::kStreamOrder);
}

}  // namespace

grpc::ServerReadReactor<v1::ImportVocabularyRequest>* ImportCall::Start(
    const Options& options, grpc::CallbackServerContext* context,
    v1::ImportVocabularyResponse* response) {
  const std::shared_ptr<ImportCall> call(
      new ImportCall(options, context, response));
  call->self_ = call;
  auto slot = options.slots.Take();
  if (!slot.ok()) {
    call->End(slot.status());
    return call.get();
  }
  call->slot_ = *std::move(slot);
  call->StartRead(&call->request_);
  return call.get();
}

ImportCall::ImportCall(const Options& options,
                       grpc::CallbackServerContext* context,
                       v1::ImportVocabularyResponse* response)
    : options_(options),
      response_(response),
      record_(options.metrics, options.method, context->peer()) {
  control_.deadline = DeadlineOf(*context, kDefaultDeadline);
}

void ImportCall::Submit(Executor& executor,
                        absl::Status (ImportCall::*step)()) {
  Executor::Task task;
  task.run = [call = shared_from_this(), step] {
    absl::Status status = call->control_.Check();
    if (status.ok()) {
      status = (call.get()->*step)();
    }
    if (!status.ok()) {
      call->End(status);
    }
  };
  task.drop = [call = shared_from_this()](const absl::Status& status) {
    call->End(status);
  };
  task.deadline = control_.deadline;
  task.is_bounded_elsewhere = true;  // By the slots: one task a call.
  const auto ticket = executor.Submit(std::move(task));
  if (!ticket.ok()) {
    End(ticket.status());
  }
}

void ImportCall::OnReadDone(bool ok) {
  if (ok) {
    options_.metrics.MessageReceived(options_.method);
    Submit(options_.spool_executor, &ImportCall::Receive);
  } else {
    // Half-closed, or gone: then control_ says so.
    Submit(options_.import_executor, &ImportCall::Import);
  }
}

absl::Status ImportCall::ReceiveConfig() {
  if (spool_ != nullptr) {
    return OrderError("a second config; it comes once, first");
  }
  config_ = std::move(*request_.mutable_config());
  OVDIFF_RETURN_IF_ERROR(options_.importer.Validate(config_));
  OVDIFF_ASSIGN_OR_RETURN(spool_, PackSpool::Create(options_.spool));
  return absl::OkStatus();
}

absl::Status ImportCall::Receive() {
  switch (request_.request_case()) {
    case v1::ImportVocabularyRequest::kConfig:
      OVDIFF_RETURN_IF_ERROR(ReceiveConfig());
      break;
    case v1::ImportVocabularyRequest::kData:
      if (spool_ == nullptr) {
        return OrderError("the first message is data; it must be config");
      }
      OVDIFF_RETURN_IF_ERROR(spool_->Append(request_.data()));
      break;
    case v1::ImportVocabularyRequest::REQUEST_NOT_SET:
      return OrderError("a message has neither config nor data; set one");
  }
  StartRead(&request_);
  return absl::OkStatus();
}

absl::Status ImportCall::Import() {
  if (spool_ == nullptr) {
    return OrderError("the call has no message; the first is config");
  }
  OVDIFF_ASSIGN_OR_RETURN(*response_,
                          options_.importer.Import(config_, *spool_, control_));
  record_.Note("vocabulary", response_->vocabulary());
  record_.Note("version", response_->version());
  record_.Note("num_classes", response_->classes_size());
  record_.Note("bytes", response_->pack_bytes());
  End(absl::OkStatus());
  return absl::OkStatus();
}

void ImportCall::End(const absl::Status& status) {
  if (status.ok()) {
    options_.metrics.MessageSent(options_.method);
  }
  record_.End(status);
  spool_.reset();
  slot_.reset();
  Finish(ToGrpcStatus(status));
}

void ImportCall::OnCancel() { control_.cancellation.Cancel(); }

void ImportCall::OnDone() { self_.reset(); }

}  // namespace ovdiff::server
