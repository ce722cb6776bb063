// One StreamSegment stream: frames in, answers out, a bounded number between.
#ifndef OVDIFF_CLIENT_STREAM_SESSION_H_
#define OVDIFF_CLIENT_STREAM_SESSION_H_

#include <memory>
#include <optional>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "ovdiff/v1/segmentation_service.grpc.pb.h"

namespace ovdiff::client {

// One thread may send (Send, Reconfigure, DoneSending) while another receives;
// neither side is for two threads. Destroying an unfinished session cancels it.
class StreamSession {
 public:
  // Opens the stream, sends `config` and waits for the server's answer to it.
  static absl::StatusOr<std::unique_ptr<StreamSession>> Open(
      v1::SegmentationService::StubInterface& stub,
      const v1::StreamConfig& config, absl::Time deadline,
      std::stop_token stop);

  ~StreamSession();
  StreamSession(const StreamSession&) = delete;
  StreamSession& operator=(const StreamSession&) = delete;

  // The server's answer to the first configuration.
  const v1::StreamConfigured& configured() const { return configured_; }

  // Sends a frame. Waits while `configured().max_in_flight` frames are without
  // an answer, unless the drop policy is LATEST_ONLY, which leaves that to the
  // server; so another thread must be receiving. UNAVAILABLE when the stream is
  // broken: Receive then says why.
  absl::Status Send(const v1::Frame& frame);

  // Changes vocabulary and options for the frames after it. Its answer comes
  // out of Receive as a response with `configured` set.
  absl::Status Reconfigure(const v1::StreamConfig& config);

  // No more frames. The answers to those in flight still come.
  absl::Status DoneSending();

  // The next answer, in the order they are done; nullopt after the last one. A
  // frame's own failure is its `error`, not this status. An error means that
  // the stream is over.
  absl::StatusOr<std::optional<v1::StreamSegmentResponse>> Receive();

  // Ends both directions at once, from any thread.
  void Cancel();

 private:
  using Stream = grpc::ClientReaderWriterInterface<v1::StreamSegmentRequest,
                                                   v1::StreamSegmentResponse>;

  explicit StreamSession(std::stop_token stop);
  bool CreditOrBroken() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return broken_ || in_flight_ < credit_;
  }
  absl::Status Write(const v1::StreamSegmentRequest& request);

  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  v1::StreamConfigured configured_;
  absl::Mutex mutex_;
  int credit_ ABSL_GUARDED_BY(mutex_) = 1;
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ = false;  // Of the receiving side.
  // Last, so that it is gone before what it cancels.
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_STREAM_SESSION_H_
