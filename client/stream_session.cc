#include "client/stream_session.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/memory/memory.h"
#include "client/status.h"

namespace ovdiff::client {

StreamSession::StreamSession(std::stop_token stop) {
  on_stop_.emplace(std::move(stop),
                   std::function<void()>([this] { Cancel(); }));
}

StreamSession::~StreamSession() {
  on_stop_.reset();
  if (stream_ != nullptr && !finished_) {
    context_.TryCancel();
    v1::StreamSegmentResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    // The session was given up; nobody is left to be told.
    stream_->Finish();
  }
}

absl::StatusOr<std::unique_ptr<StreamSession>> StreamSession::Open(
    v1::SegmentationService::StubInterface& stub,
    const v1::StreamConfig& config, absl::Time deadline, std::stop_token stop) {
  auto session = absl::WrapUnique(new StreamSession(std::move(stop)));
  if (deadline != absl::InfiniteFuture()) {
    session->context_.set_deadline(absl::ToChronoTime(deadline));
  }
  session->stream_ = stub.StreamSegment(&session->context_);
  v1::StreamSegmentRequest request;
  *request.mutable_config() = config;
  // A failed write is told by the read after it, with its reason.
  session->stream_->Write(request);
  absl::StatusOr<std::optional<v1::StreamSegmentResponse>> first =
      session->Receive();
  if (!first.ok()) {
    return first.status();
  }
  if (!first->has_value() || !(*first)->has_configured()) {
    return absl::InternalError(
        "the server did not answer the stream's configuration; is it an "
        "ovdiffd "
        "of this version?");
  }
  session->configured_ = std::move(*(*first)->mutable_configured());
  absl::MutexLock lock(&session->mutex_);
  session->credit_ = config.drop_policy() == v1::DROP_POLICY_LATEST_ONLY
                         ? std::numeric_limits<int>::max()
                         : std::max(1, session->configured_.max_in_flight());
  return session;
}

absl::Status StreamSession::Write(const v1::StreamSegmentRequest& request) {
  if (stream_->Write(request)) {
    return absl::OkStatus();
  }
  absl::MutexLock lock(&mutex_);
  broken_ = true;
  return absl::UnavailableError("the stream is over; Receive() says why");
}

absl::Status StreamSession::Send(const v1::Frame& frame) {
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](StreamSession* session) ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return session->CreditOrBroken();
        },
        this));
    if (broken_) {
      return absl::UnavailableError("the stream is over; Receive() says why");
    }
    ++in_flight_;
  }
  v1::StreamSegmentRequest request;
  *request.mutable_frame() = frame;
  return Write(request);
}

absl::Status StreamSession::Reconfigure(const v1::StreamConfig& config) {
  v1::StreamSegmentRequest request;
  *request.mutable_config() = config;
  return Write(request);
}

absl::Status StreamSession::DoneSending() {
  if (stream_->WritesDone()) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("the stream is over; Receive() says why");
}

absl::StatusOr<std::optional<v1::StreamSegmentResponse>>
StreamSession::Receive() {
  v1::StreamSegmentResponse response;
  if (!finished_ && stream_->Read(&response)) {
    if (response.has_result()) {
      absl::MutexLock lock(&mutex_);
      --in_flight_;
    }
    return std::optional(std::move(response));
  }
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  }
  if (finished_) {
    return std::nullopt;
  }
  finished_ = true;
  const absl::Status status = FromGrpcStatus(stream_->Finish());
  if (!status.ok()) {
    return status;
  }
  return std::nullopt;
}

void StreamSession::Cancel() {
  context_.TryCancel();
  absl::MutexLock lock(&mutex_);
  broken_ = true;
}

}  // namespace ovdiff::client
