#include "server/stream_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

using Reactor = grpc::ServerBidiReactor<v1::StreamSegmentRequest,
                                        v1::StreamSegmentResponse>;

// Bytes of frames that one stream holds before it reads no more.
constexpr int64_t kMaxStreamBytes = int64_t{64} << 20;
// Answers to dropped frames that may wait for a client that does not read.
constexpr size_t kMaxOutbox = 64;

class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const absl::Status& status) {
    Finish(ToGrpcStatus(status));
  }
  void OnDone() override { delete this; }
};

absl::Status Draining() {
  return OverloadError("the server is shutting down; open the stream again",
                       reasons::kDraining, absl::Seconds(1));
}

absl::Status ValidateStreamConfig(const v1::StreamConfig& config) {
  if (config.max_in_flight() < 0) {
    return FieldError(
        "config.max_in_flight",
        absl::StrCat("config.max_in_flight is ", config.max_in_flight(),
                     "; 0 (the server's default) and more are "
                     "allowed"),
        reasons::kInvalidField);
  }
  if (!v1::DropPolicy_IsValid(config.drop_policy())) {
    return FieldError("config.drop_policy",
                      absl::StrCat("config.drop_policy is ",
                                   static_cast<int>(config.drop_policy()),
                                   "; DROP_POLICY_QUEUE (1) and "
                                   "DROP_POLICY_LATEST_ONLY (2) are allowed"),
                      reasons::kInvalidField);
  }
  return absl::OkStatus();
}

}  // namespace

std::shared_ptr<StreamSession> StreamSession::Start(
    Options options, grpc::CallbackServerContext* context) {
  std::shared_ptr<StreamSession> session(
      new StreamSession(std::move(options), context));
  session->self_ = session;
  session->Step([] {});
  return session;
}

Reactor* StreamSession::Refuse(Metrics& metrics, const MethodInfo& method,
                               grpc::CallbackServerContext* context,
                               const absl::Status& status) {
  CallRecord(metrics, method, context->peer()).End(status);
  return new RefusedStream(status);
}

StreamSession::StreamSession(Options options,
                             grpc::CallbackServerContext* context)
    : options_(std::move(options)),
      record_(options_.metrics, options_.method, context->peer()) {}

void StreamSession::Step(const std::function<void()>& change) {
  Actions actions;
  {
    MutexLock lock(&mutex_);
    change();
    actions = ChooseActions();
  }
  // A read or write that was chosen keeps every other thread from choosing it
  // again until gRPC has answered, so the order of these calls is free.
  if (actions.read) {
    StartRead(&request_);
  }
  if (actions.write) {
    StartWrite(&writing_.response);
  }
  if (actions.finish) {
    Finish(std::move(actions.status));
  }
}

StreamSession::Actions StreamSession::ChooseActions() {
  Actions actions;
  if (is_finished_) {
    return actions;
  }
  if (latest_.has_value() && static_cast<int>(in_flight_.size()) < credit_) {
    PendingFrame frame = *std::move(latest_);
    latest_.reset();
    SubmitFrame(std::move(frame));
  }
  if (CanRead()) {
    is_reading_ = actions.read = true;
  }
  if (!is_writing_ && !is_abandoned_ && !outbox_.empty()) {
    writing_ = std::move(outbox_.front());
    outbox_.pop_front();
    is_writing_ = actions.write = true;
    options_.metrics.MessageSent(options_.method);
  }
  if (IsOver()) {
    is_finished_ = actions.finish = true;
    actions.status = ToGrpcStatus(result_);
    record_.Note("frames", num_frames_);
    record_.End(result_);
  }
  return actions;
}

bool StreamSession::CanRead() const {
  if (is_reading_ || is_closed_ || is_configuring_ ||
      outbox_.size() >= kMaxOutbox) {
    return false;
  }
  // Without credit only a stream that drops frames goes on reading.
  return (static_cast<int>(in_flight_.size()) < credit_ &&
          bytes_in_flight_ < kMaxStreamBytes) ||
         drop_policy_ == v1::DROP_POLICY_LATEST_ONLY;
}

bool StreamSession::IsOver() const {
  if (!is_closed_ || is_writing_) {
    return false;
  }
  return is_abandoned_ || (!is_configuring_ && in_flight_.empty() &&
                           outbox_.empty() && !latest_.has_value());
}

void StreamSession::OnReadDone(bool ok) {
  Step([this, ok]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    is_reading_ = false;
    if (!ok) {
      is_closed_ = true;  // Half-closed, or gone: OnCancel() tells.
    } else if (!is_closed_) {
      options_.metrics.MessageReceived(options_.method);
      Receive(std::move(request_));
    }
  });
}

void StreamSession::Receive(v1::StreamSegmentRequest request) {
  switch (request.request_case()) {
    case v1::StreamSegmentRequest::kConfig:
      ReceiveConfig(std::move(*request.mutable_config()));
      return;
    case v1::StreamSegmentRequest::kFrame:
      if (plan_ == nullptr) {
        Fail(FieldError("config",
                        "the first message is a frame; a stream begins with "
                        "its config",
                        reasons::kStreamOrder));
        return;
      }
      ReceiveFrame(std::move(*request.mutable_frame()));
      return;
    case v1::StreamSegmentRequest::REQUEST_NOT_SET:
      Fail(FieldError("request",
                      "a message has neither config nor frame; set one",
                      reasons::kStreamOrder));
      return;
  }
}

void StreamSession::ReceiveConfig(v1::StreamConfig config) {
  if (const absl::Status status = ValidateStreamConfig(config); !status.ok()) {
    Fail(status);
    return;
  }
  is_configuring_ = true;
  Executor::Task task;
  const auto shared =
      std::make_shared<const v1::StreamConfig>(std::move(config));
  task.run = [self = shared_from_this(), shared] {
    auto plan = self->options_.segmenter.Plan(*shared);
    self->Step([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      self->Configure(*shared, std::move(plan));
    });
  };
  task.drop = [self = shared_from_this(), shared](absl::Status status) {
    self->Step([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      self->Configure(*shared, std::move(status));
    });
  };
  const auto ticket = options_.control_executor.Submit(std::move(task));
  if (!ticket.ok()) {
    is_configuring_ = false;
    Fail(ticket.status());
  }
}

void StreamSession::Configure(
    const v1::StreamConfig& config,
    absl::StatusOr<std::shared_ptr<const SegmentPlan>> plan) {
  is_configuring_ = false;
  if (!plan.ok()) {
    Fail(plan.status());
    return;
  }
  plan_ = *std::move(plan);
  const int limit = options_.limits.max_stream_in_flight;
  credit_ = config.max_in_flight() == 0
                ? limit
                : std::min(config.max_in_flight(), limit);
  drop_policy_ = config.drop_policy();
  if (!is_finished_) {
    record_.Note("vocabulary", plan_->vocabulary->id.name);
    record_.Note("version", plan_->vocabulary->version);
  }
  Answer& answer = outbox_.emplace_back();
  v1::StreamConfigured& configured = *answer.response.mutable_configured();
  configured.set_vocabulary(plan_->vocabulary->id.name);
  configured.set_version(plan_->vocabulary->version);
  configured.set_max_in_flight(credit_);
  for (v1::SegmentedClass& row : PictureSegmenter::ClassTable(*plan_)) {
    *configured.add_classes() = std::move(row);
  }
}

void StreamSession::ReceiveFrame(v1::Frame frame) {
  ++num_frames_;
  PendingFrame pending{std::move(frame), absl::Now(), plan_};
  if (static_cast<int>(in_flight_.size()) < credit_) {
    SubmitFrame(std::move(pending));
    return;
  }
  // DROP_POLICY_LATEST_ONLY: with the other policy nothing is read by now.
  if (latest_.has_value()) {
    options_.metrics.Rejected(reasons::kFrameDropped);
    AnswerFrame(0, latest_->frame.seq(),
                WithReason(absl::AbortedError("dropped: a newer frame came "
                                              "while the stream was busy"),
                           reasons::kFrameDropped));
  }
  latest_ = std::move(pending);
}

void StreamSession::SubmitFrame(PendingFrame frame) {
  const int64_t frame_id = next_frame_id_++;
  const int64_t seq = frame.frame.seq();
  FrameInFlight& held = in_flight_[frame_id];
  held.seq = seq;
  held.bytes = ImageBytes(frame.frame.image());
  bytes_in_flight_ += held.bytes;
  const int deadline_ms = frame.frame.deadline_ms();
  if (deadline_ms < 0) {
    AnswerFrame(frame_id, seq,
                FieldError("frame.deadline_ms",
                           absl::StrCat("frame.deadline_ms is ", deadline_ms,
                                        "; 0 (none) and more are allowed"),
                           reasons::kInvalidField));
    return;
  }
  Executor::Task task;
  task.deadline = deadline_ms == 0
                      ? absl::InfiniteFuture()
                      : frame.arrival + absl::Milliseconds(deadline_ms);
  task.bytes = held.bytes;
  task.is_bounded_elsewhere = true;  // By the credit, and max_streams.
  const auto shared = std::make_shared<const PendingFrame>(std::move(frame));
  task.run = [self = shared_from_this(), frame_id, shared,
              deadline = task.deadline] {
    self->RunFrame(frame_id, *shared, deadline);
  };
  task.drop = [self = shared_from_this(), frame_id, seq](absl::Status status) {
    self->Step([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      self->AnswerFrame(frame_id, seq, std::move(status));
    });
  };
  const auto ticket = options_.segment_executor.Submit(std::move(task));
  if (ticket.ok()) {
    held.ticket = *ticket;
  } else {
    AnswerFrame(frame_id, seq, ticket.status());
  }
}

void StreamSession::RunFrame(int64_t frame_id, const PendingFrame& frame,
                             absl::Time deadline) {
  const CallControl control{deadline, cancellation_};
  absl::StatusOr<v1::SegmentResponse> result = options_.segmenter.Run(
      *frame.plan, frame.frame.image(), frame.arrival, control);
  Step([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    AnswerFrame(frame_id, frame.frame.seq(), std::move(result));
  });
}

void StreamSession::AnswerFrame(int64_t frame_id, int64_t seq,
                                absl::StatusOr<v1::SegmentResponse> result) {
  if (is_abandoned_) {
    ReleaseFrame(frame_id);
    return;
  }
  Answer& answer = outbox_.emplace_back();
  answer.frame_id = frame_id;
  v1::FrameResult& out = *answer.response.mutable_result();
  out.set_seq(seq);
  if (result.ok()) {
    *out.mutable_segmentation() = *std::move(result);
  } else {
    *out.mutable_error() = ToRpcStatus(result.status());
  }
}

void StreamSession::ReleaseFrame(int64_t frame_id) {
  const auto it = in_flight_.find(frame_id);
  if (it != in_flight_.end()) {
    bytes_in_flight_ -= it->second.bytes;
    in_flight_.erase(it);
  }
}

void StreamSession::OnWriteDone(bool ok) {
  Step([this, ok]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    is_writing_ = false;
    ReleaseFrame(writing_.frame_id);
    writing_ = Answer();
    if (!ok) {
      Abandon(absl::CancelledError("the caller went away"));
    }
  });
}

void StreamSession::OnCancel() {
  Step([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Abandon(absl::CancelledError("cancelled by the caller"));
  });
}

void StreamSession::Fail(const absl::Status& status) {
  is_closed_ = true;
  if (result_.ok()) {
    result_ = status;
  }
}

void StreamSession::Abandon(const absl::Status& status) {
  Fail(status);
  is_abandoned_ = true;
  cancellation_.Cancel();
  outbox_.clear();
  latest_.reset();
  for (const auto& [frame_id, frame] : in_flight_) {
    options_.segment_executor.Remove(frame.ticket);
  }
}

void StreamSession::Drain() {
  Step([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (!is_closed_) {
      Fail(Draining());
    }
  });
}

void StreamSession::OnDone() {
  // Executor tasks may still hold the session.
  const std::shared_ptr<StreamSession> self = std::move(self_);
  options_.on_done(this);
}

}  // namespace ovdiff::server
