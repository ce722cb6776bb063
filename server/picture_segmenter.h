// PictureSegmenter: the way of one picture from request to answer. Unary calls
// and stream frames share it.
#ifndef OVDIFF_SERVER_PICTURE_SEGMENTER_H_
#define OVDIFF_SERVER_PICTURE_SEGMENTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "ovdiff/v1/segmentation_service.pb.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "server/vocabulary_cache.h"

namespace ovdiff::server {

// A vocabulary and how to compare with it, checked. Immutable.
struct SegmentPlan {
  VocabularyCache::VocabularyPtr vocabulary;
  std::vector<const store::ClassEntry*> entries;  // Of `vocabulary`.
  SegmentOptions options;
  v1::LabelMapFormat label_map_format = v1::LABEL_MAP_FORMAT_PNG;
};

// A picture and a plan's classes, ready for the engine.
struct SegmentInput {
  Image pixels;
  std::vector<LoadedClass> loaded;  // As plan.entries; so are these.
  std::vector<engine::SegmentClass> classes;
  absl::Time start;  // Of decoding.
  absl::Duration decode;
};

// Thread-safe. Blocks: never on a gRPC thread.
class PictureSegmenter {
 public:
  // REQUIRES: all outlive it.
  PictureSegmenter(engine::Engine& engine, VocabularyCache& cache,
                   Metrics& metrics, const Limits& limits);

  // Resolves what a SegmentRequest or StreamConfig names. kInvalidArgument, or
  // kNotFound with ResourceInfo naming the vocabulary, version or class, and
  // classes of similar names.
  absl::StatusOr<std::shared_ptr<const SegmentPlan>> Plan(
      const v1::SegmentRequest& request) const;
  absl::StatusOr<std::shared_ptr<const SegmentPlan>> Plan(
      const v1::StreamConfig& config) const;
  absl::StatusOr<std::shared_ptr<const SegmentPlan>> Plan(
      const v1::ExplainRequest& request) const;

  // The entry of a class that the plan compares with. kInvalidArgument about
  // field `class_name`, or kNotFound as Plan().
  absl::StatusOr<const store::ClassEntry*> FindClass(
      const SegmentPlan& plan, const std::string& name) const;

  // `arrival`: when the request was first looked at, for the timings. Fails as
  // image_codec.h, VocabularyCache::Load() and Engine::Segment() do.
  absl::StatusOr<v1::SegmentResponse> Run(const SegmentPlan& plan,
                                          const v1::Image& image,
                                          absl::Time arrival,
                                          const CallControl& control) const;

  // The two halves of Run() around the engine: what it is given, and what it
  // took, which is also counted.
  absl::StatusOr<SegmentInput> Read(const SegmentPlan& plan,
                                    const v1::Image& image,
                                    const CallControl& control) const;
  v1::SegmentTiming Timing(const SegmentInput& input,
                           const engine::StageTimings& stages,
                           absl::Time arrival) const;

  // The plan's class table, areas and scores 0, by label.
  static std::vector<v1::SegmentedClass> ClassTable(const SegmentPlan& plan);

 private:
  struct PlanRequest {
    const std::string& vocabulary;
    int64_t version;
    const google::protobuf::RepeatedPtrField<std::string>& classes;
    const std::string& profile;
    const v1::SegmentOptions& options;
    v1::LabelMapFormat label_map_format;
  };
  absl::StatusOr<std::shared_ptr<const SegmentPlan>> MakePlan(
      const PlanRequest& request) const;
  absl::StatusOr<v1::SegmentResponse> ToResponse(
      const SegmentPlan& plan, const std::vector<LoadedClass>& loaded,
      const engine::Segmentation& segmentation) const;

  engine::Engine& engine_;
  VocabularyCache& cache_;
  Metrics& metrics_;
  const Limits limits_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PICTURE_SEGMENTER_H_
