// SegmentationService: pictures in, label maps out.
#ifndef OVDIFF_SERVER_SEGMENTATION_SERVICE_H_
#define OVDIFF_SERVER_SEGMENTATION_SERVICE_H_

#include <map>
#include <memory>

#include "engine/base/mutex.h"
#include "ovdiff/v1/segmentation_service.grpc.pb.h"
#include "server/executor.h"
#include "server/metrics.h"
#include "server/picture_explainer.h"
#include "server/picture_segmenter.h"
#include "server/server_options.h"
#include "server/stream_session.h"

namespace ovdiff::server {

// Thread-safe. Every method hops to an executor at once.
class SegmentationServiceImpl final
    : public v1::SegmentationService::CallbackService {
 public:
  // REQUIRES: all outlive it.
  SegmentationServiceImpl(const PictureSegmenter& segmenter,
                          const PictureExplainer& explainer,
                          Executor& segment_executor,
                          Executor& control_executor, Metrics& metrics,
                          const Limits& limits);

  grpc::ServerUnaryReactor* Segment(grpc::CallbackServerContext* context,
                                    const v1::SegmentRequest* request,
                                    v1::SegmentResponse* response) override;
  grpc::ServerBidiReactor<v1::StreamSegmentRequest, v1::StreamSegmentResponse>*
  StreamSegment(grpc::CallbackServerContext* context) override;

  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context,
                                    const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) override;

  // Opens no more streams; the open ones answer what is in flight and end.
  void Drain();

 private:
  void Forget(StreamSession* session);

  const PictureSegmenter& segmenter_;
  const PictureExplainer& explainer_;
  Executor& segment_executor_;
  Executor& control_executor_;
  Metrics& metrics_;
  const Limits limits_;
  Mutex mutex_;
  std::map<StreamSession*, std::weak_ptr<StreamSession>> sessions_
      ABSL_GUARDED_BY(mutex_);
  int num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SEGMENTATION_SERVICE_H_
