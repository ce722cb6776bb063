// StreamSession: one StreamSegment call, a state machine under one mutex.
//
//            StartRead           executor              StartWrite
//   client ----------> session ----------> worker ---> outbox ------> client
//
// A frame is in flight from its arrival until its answer is written, so the
// client's own pace bounds the outbox too. gRPC's flow control acts only when
// reads are held back: with DROP_POLICY_QUEUE the session reads no more while
// its credit is used up.
#ifndef OVDIFF_SERVER_STREAM_SESSION_H_
#define OVDIFF_SERVER_STREAM_SESSION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "ovdiff/v1/segmentation_service.pb.h"
#include "server/call_record.h"
#include "server/executor.h"
#include "server/picture_segmenter.h"
#include "server/server_options.h"

namespace ovdiff::server {

// Thread-safe. At most one read, one write and one finish are ever asked of
// gRPC, and never under the mutex: gRPC may call back on the same thread.
class StreamSession final
    : public grpc::ServerBidiReactor<v1::StreamSegmentRequest,
                                     v1::StreamSegmentResponse>,
      public std::enable_shared_from_this<StreamSession> {
 public:
  // REQUIRES: references outlive the session and the executors' tasks.
  struct Options {
    const PictureSegmenter& segmenter;
    Executor& segment_executor;
    Executor& control_executor;
    Metrics& metrics;
    MethodInfo method;
    const Limits& limits;
    std::function<void(StreamSession*)> on_done;  // Last thing it calls.
  };

  // Owned by gRPC, and what runs for it, until it is done.
  static std::shared_ptr<StreamSession> Start(
      Options options, grpc::CallbackServerContext* context);
  // Ends with `status` without reading anything.
  static grpc::ServerBidiReactor<v1::StreamSegmentRequest,
                                 v1::StreamSegmentResponse>*
  Refuse(Metrics& metrics, const MethodInfo& method,
         grpc::CallbackServerContext* context, const absl::Status& status);

  // Reads no more, answers what is in flight, ends with kUnavailable.
  void Drain();

 private:
  // What to ask of gRPC once the mutex is free.
  struct Actions {
    bool read = false;
    bool write = false;
    bool finish = false;
    grpc::Status status;
  };
  struct PendingFrame {
    v1::Frame frame;
    absl::Time arrival;
    std::shared_ptr<const SegmentPlan> plan;
  };
  struct FrameInFlight {
    int64_t seq = 0;
    int64_t bytes = 0;
    Executor::Ticket ticket = 0;
  };
  struct Answer {
    v1::StreamSegmentResponse response;
    int64_t frame_id = 0;  // 0: of no frame in flight.
  };

  StreamSession(Options options, grpc::CallbackServerContext* context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Locks, runs `change`, then does what the new state asks for.
  void Step(const std::function<void()>& change);
  Actions ChooseActions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Receive(v1::StreamSegmentRequest request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReceiveConfig(v1::StreamConfig config)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReceiveFrame(v1::Frame frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Configure(const v1::StreamConfig& config,
                 absl::StatusOr<std::shared_ptr<const SegmentPlan>> plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SubmitFrame(PendingFrame frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunFrame(int64_t frame_id, const PendingFrame& frame,
                absl::Time deadline);
  void AnswerFrame(int64_t frame_id, int64_t seq,
                   absl::StatusOr<v1::SegmentResponse> result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The frame's answer is written: its credit is free.
  void ReleaseFrame(int64_t frame_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The client is gone: nothing more is worth doing.
  void Abandon(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  std::shared_ptr<StreamSession> self_;  // Until OnDone().
  const CancellationToken cancellation_;

  Mutex mutex_;
  CallRecord record_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const SegmentPlan> plan_ ABSL_GUARDED_BY(mutex_);
  v1::DropPolicy drop_policy_ ABSL_GUARDED_BY(mutex_) = v1::DROP_POLICY_QUEUE;
  int credit_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<int64_t, FrameInFlight> in_flight_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_frame_id_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t num_frames_ ABSL_GUARDED_BY(mutex_) = 0;
  // The newest frame beyond the credit, with DROP_POLICY_LATEST_ONLY.
  std::optional<PendingFrame> latest_ ABSL_GUARDED_BY(mutex_);
  std::deque<Answer> outbox_ ABSL_GUARDED_BY(mutex_);
  bool is_reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_configuring_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;  // Reads no more.
  bool is_abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  // gRPC's while is_reading_; else ours.
  v1::StreamSegmentRequest request_;
  // The answer on its way; gRPC reads it while is_writing_.
  Answer writing_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STREAM_SESSION_H_
