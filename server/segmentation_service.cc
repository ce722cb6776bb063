#include "server/segmentation_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/unary_call.h"

namespace ovdiff::server {
namespace {

constexpr char kService[] = "ovdiff.v1.SegmentationService";
constexpr MethodInfo kStreamSegment = {"bidi_stream", kService,
                                       "StreamSegment"};

}  // namespace

SegmentationServiceImpl::SegmentationServiceImpl(
    const PictureSegmenter& segmenter, const PictureExplainer& explainer,
    Executor& segment_executor, Executor& control_executor, Metrics& metrics,
    const Limits& limits)
    : segmenter_(segmenter),
      explainer_(explainer),
      segment_executor_(segment_executor),
      control_executor_(control_executor),
      metrics_(metrics),
      limits_(limits) {}

grpc::ServerUnaryReactor* SegmentationServiceImpl::Segment(
    grpc::CallbackServerContext* context, const v1::SegmentRequest* request,
    v1::SegmentResponse* response) {
  const UnaryCall::Options options{
      .metrics = metrics_,
      .executor = segment_executor_,
      .method = {"unary", kService, "Segment"},
      .bytes = ImageBytes(request->image()),
      .default_deadline = limits_.max_segment_seconds};
  return UnaryCall::Start(
      options, context,
      [this, request, response](CallScope& call) -> absl::Status {
        OVDIFF_ASSIGN_OR_RETURN(const auto plan, segmenter_.Plan(*request));
        call.record.Note("vocabulary", plan->vocabulary->id.name);
        call.record.Note("version", plan->vocabulary->version);
        OVDIFF_ASSIGN_OR_RETURN(
            *response, segmenter_.Run(*plan, request->image(),
                                      call.record.start_time(), call.control));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* SegmentationServiceImpl::Explain(
    grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
    v1::ExplainResponse* response) {
  const UnaryCall::Options options{
      .metrics = metrics_,
      .executor = segment_executor_,
      .method = {"unary", kService, "Explain"},
      .bytes = ImageBytes(request->image()),
      .default_deadline = limits_.max_segment_seconds};
  return UnaryCall::Start(
      options, context,
      [this, request, response](CallScope& call) -> absl::Status {
        OVDIFF_ASSIGN_OR_RETURN(const auto plan, segmenter_.Plan(*request));
        call.record.Note("vocabulary", plan->vocabulary->id.name);
        call.record.Note("version", plan->vocabulary->version);
        OVDIFF_ASSIGN_OR_RETURN(
            *response, explainer_.Run(*request, *plan, call.record.start_time(),
                                      call.control));
        return absl::OkStatus();
      });
}

grpc::ServerBidiReactor<v1::StreamSegmentRequest, v1::StreamSegmentResponse>*
SegmentationServiceImpl::StreamSegment(grpc::CallbackServerContext* context) {
  absl::Status refusal;
  {
    MutexLock lock(&mutex_);
    if (is_draining_) {
      refusal = OverloadError("the server is shutting down", reasons::kDraining,
                              absl::Seconds(1));
    } else if (num_streams_ >= limits_.max_streams) {
      refusal = OverloadError(
          absl::StrCat(num_streams_, " streams are open and ",
                       limits_.max_streams, " are allowed; try again later"),
          reasons::kQueueFull, absl::Seconds(5));
    } else {
      ++num_streams_;
    }
  }
  if (!refusal.ok()) {
    return StreamSession::Refuse(metrics_, kStreamSegment, context, refusal);
  }
  metrics_.AddStreams(1);
  const auto session = StreamSession::Start(
      {.segmenter = segmenter_,
       .segment_executor = segment_executor_,
       .control_executor = control_executor_,
       .metrics = metrics_,
       .method = kStreamSegment,
       .limits = limits_,
       .on_done = [this](StreamSession* done) { Forget(done); }},
      context);
  // gRPC ends a call only after its reactor is returned: Forget() comes later.
  MutexLock lock(&mutex_);
  sessions_[session.get()] = session;
  return session.get();
}

void SegmentationServiceImpl::Forget(StreamSession* session) {
  metrics_.AddStreams(-1);
  MutexLock lock(&mutex_);
  sessions_.erase(session);
  --num_streams_;
}

void SegmentationServiceImpl::Drain() {
  std::vector<std::weak_ptr<StreamSession>> sessions;
  {
    MutexLock lock(&mutex_);
    is_draining_ = true;
    for (const auto& [raw, session] : sessions_) {
      sessions.push_back(session);
    }
  }
  for (const auto& held : sessions) {
    if (const auto session = held.lock()) {
      session->Drain();
    }
  }
}

}  // namespace ovdiff::server
