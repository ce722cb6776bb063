// PictureExplainer: why a pixel of a picture has its label, from request to
// answer.
#ifndef OVDIFF_SERVER_PICTURE_EXPLAINER_H_
#define OVDIFF_SERVER_PICTURE_EXPLAINER_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "ovdiff/v1/segmentation_service.pb.h"
#include "server/picture_segmenter.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. Blocks: never on a gRPC thread.
class PictureExplainer {
 public:
  // REQUIRES: all outlive it.
  PictureExplainer(engine::Engine& engine, const store::PrototypeStore& store,
                   const PictureSegmenter& segmenter, const Limits& limits);

  // `plan` is the request's. Fails as PictureSegmenter::Run(), and with
  //   kInvalidArgument     target or max_classes, naming the field
  //   kNotFound            class_name is not in the vocabulary
  //   kFailedPrecondition  the prefilter dropped it (CLASS_FILTERED)
  absl::StatusOr<v1::ExplainResponse> Run(const v1::ExplainRequest& request,
                                          const SegmentPlan& plan,
                                          absl::Time arrival,
                                          const CallControl& control) const;

 private:
  engine::Engine& engine_;
  const store::PrototypeStore& store_;
  const PictureSegmenter& segmenter_;
  const Limits limits_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PICTURE_EXPLAINER_H_
