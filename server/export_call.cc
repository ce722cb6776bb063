#include "server/export_call.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

// Far below any client's limit for messages (gRPC's default is 4 MiB).
constexpr size_t kPartBytes = 256 << 10;
constexpr int kMaxLicenseBytes = 1000;

// `vocabulary` with the classes called `names` only, if there are any.
absl::StatusOr<store::Vocabulary> Select(
    const store::Vocabulary& vocabulary,
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  store::Vocabulary selected = vocabulary;
  if (!names.empty()) {
    absl::flat_hash_set<std::string> wanted(names.begin(), names.end());
    std::vector<store::ClassEntry>& classes = selected.classes;
    classes.erase(std::remove_if(classes.begin(), classes.end(),
                                 [&](const store::ClassEntry& entry) {
                                   return wanted.erase(entry.name) == 0;
                                 }),
                  classes.end());
    if (!wanted.empty()) {
      return ResourceError(
          absl::StatusCode::kNotFound, "ovdiff.v1.Class", *wanted.begin(),
          absl::StrCat("vocabulary ", Quoted(vocabulary.id.name),
                       " has no class ", Quoted(*wanted.begin()),
                       " in version ", vocabulary.version),
          reasons::kClassNotFound);
    }
  }
  if (selected.classes.empty()) {
    return PreconditionError(
        vocabulary.id.name,
        absl::StrCat("vocabulary ", Quoted(vocabulary.id.name),
                     " has no class in version ", vocabulary.version,
                     "; a pack holds one or more"),
        reasons::kVocabularyEmpty);
  }
  return selected;
}

}  // namespace

grpc::ServerWriteReactor<v1::ExportVocabularyResponse>* ExportCall::Start(
    const Options& options, grpc::CallbackServerContext* context,
    const v1::ExportVocabularyRequest& request) {
  const std::shared_ptr<ExportCall> call(
      new ExportCall(options, context, request));
  call->self_ = call;
  options.metrics.MessageReceived(options.method);
  auto slot = options.slots.Take();
  if (!slot.ok()) {
    call->End(slot.status());
    return call.get();
  }
  call->slot_ = *std::move(slot);
  call->Submit(&ExportCall::Begin);
  return call.get();
}

ExportCall::ExportCall(const Options& options,
                       grpc::CallbackServerContext* context,
                       const v1::ExportVocabularyRequest& request)
    : options_(options),
      request_(request),
      record_(options.metrics, options.method, context->peer()) {}

void ExportCall::Submit(void (ExportCall::*step)()) {
  Executor::Task task;
  task.run = [call = shared_from_this(), step] { (call.get()->*step)(); };
  task.drop = [call = shared_from_this()](const absl::Status& status) {
    call->End(status);
  };
  task.is_bounded_elsewhere = true;  // By the slots: one task a call.
  const auto ticket = options_.executor.Submit(std::move(task));
  if (!ticket.ok()) {
    End(ticket.status());
  }
}

void ExportCall::Begin() {
  const absl::Status status = MakeExporter();
  if (!status.ok()) {
    End(status);
    return;
  }
  Produce();
}

absl::Status ExportCall::MakeExporter() {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(request_.vocabulary()));
  OVDIFF_RETURN_IF_ERROR(ValidateVersion(request_.version()));
  if (request_.license().size() > kMaxLicenseBytes) {
    return FieldError(
        "license",
        absl::StrCat("license has ", request_.license().size(),
                     " bytes; up to ", kMaxLicenseBytes, " are allowed"),
        reasons::kInvalidField);
  }
  OVDIFF_ASSIGN_OR_RETURN(
      const auto vocabulary,
      options_.cache.GetVocabulary(request_.vocabulary(), request_.version()));
  OVDIFF_ASSIGN_OR_RETURN(const store::Vocabulary selected,
                          Select(*vocabulary, request_.classes()));
  record_.Note("vocabulary", selected.id.name);
  record_.Note("version", selected.version);
  record_.Note("num_classes", selected.classes.size());
  store::ExportOptions about = options_.about;
  about.pictures = request_.include_pictures();
  about.license = request_.license();
  exporter_.emplace(options_.store, selected, about);
  return absl::OkStatus();
}

void ExportCall::Produce() {
  if (is_cancelled_) {
    End(absl::CancelledError("cancelled by the caller"));
    return;
  }
  auto piece = exporter_->Next();
  if (!piece.ok()) {
    End(piece.status());
    return;
  }
  if (piece->empty()) {
    End(absl::OkStatus());
    return;
  }
  piece_ = *std::move(piece);
  position_ = 0;
  WritePart();
}

void ExportCall::WritePart() {
  message_.set_data(piece_.substr(position_, kPartBytes));
  position_ += message_.data().size();
  num_bytes_ += static_cast<int64_t>(message_.data().size());
  options_.metrics.MessageSent(options_.method);
  StartWrite(&message_);
}

void ExportCall::OnWriteDone(bool ok) {
  if (!ok) {
    End(absl::CancelledError("the caller went away"));
  } else if (position_ < piece_.size()) {
    WritePart();
  } else {
    Submit(&ExportCall::Produce);
  }
}

void ExportCall::End(const absl::Status& status) {
  record_.Note("bytes", num_bytes_);
  record_.End(status);
  slot_.reset();
  Finish(ToGrpcStatus(status));
}

// Whoever is at work, a task or a write, sees it and ends the call.
void ExportCall::OnCancel() { is_cancelled_ = true; }

void ExportCall::OnDone() { self_.reset(); }

}  // namespace ovdiff::server
