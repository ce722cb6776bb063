// Prefilter: which classes may be in a picture at all, by CLIP (OVDiff section
// 3.3; method.md section 7).
#ifndef OVDIFF_ENGINE_PIPELINE_PREFILTER_H_
#define OVDIFF_ENGINE_PIPELINE_PREFILTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/batching/device_scheduler.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/pipeline/text_embedding_cache.h"
#include "engine/runners/model_set.h"
#include "engine/runtime/compute_device.h"

namespace ovdiff::engine {

// Thread-safe: calls block their caller.
class Prefilter {
 public:
  // All must outlive this.
  Prefilter(const PrefilterSpec& spec, const ModelSet& models,
            ComputeDevice& device, DeviceScheduler& scheduler);

  // For each class whether it is kept. Stuff always is; of the things stage 1
  // takes those that look likely one by one, at most options.max_classes, and
  // stage 2 the subset of them whose text "a X and a Y" fits the picture best.
  // At least one class is kept. Names are put in byte order first, so that
  // neither the order of the call's classes nor their scores decide which texts
  // there are. A text beyond CLIP's context is cut, as transformers does.
  // `queued` grows by the time spent waiting for the device.
  absl::StatusOr<std::vector<bool>> Keep(const Image& image,
                                         absl::Span<const SegmentClass> classes,
                                         const PrefilterOptions& options,
                                         const CallControl& control,
                                         absl::Duration* queued);

  // Of each name, the cosine that stage 1 goes by. Bulk work: Segment calls go
  // before it.
  absl::StatusOr<std::vector<double>> CompareWithNames(
      const Image& image, absl::Span<const std::string> names,
      const CallControl& control);

 private:
  using Embeddings = std::vector<std::shared_ptr<const Embedding>>;

  // How a call gets its turns on the device.
  struct Turns {
    const CallControl& control;
    bool bulk = false;
    absl::Duration queued = absl::ZeroDuration();  // Spent waiting.
  };

  absl::Status OnDevice(absl::FunctionRef<absl::Status()> work, Turns& turns);
  absl::StatusOr<Embedding> EmbedPicture(const Image& image, Turns& turns);
  // In the order of `texts`; from the cache where they are there.
  absl::StatusOr<Embeddings> EmbedTexts(const std::vector<std::string>& texts,
                                        Turns& turns);
  absl::Status EmbedOnDevice(absl::Span<const std::string> texts,
                             absl::Span<std::shared_ptr<const Embedding>> out);
  // Cosines of the picture to each text.
  absl::StatusOr<std::vector<double>> Cosines(
      const Embedding& picture, const std::vector<std::string>& texts,
      Turns& turns);
  absl::StatusOr<std::vector<bool>> KeepInTurns(
      const Image& image, absl::Span<const SegmentClass> classes,
      const PrefilterOptions& options, Turns& turns);

  const PrefilterSpec& spec_;
  const ModelSet& models_;
  ComputeDevice& device_;
  DeviceScheduler& scheduler_;
  TextEmbeddingCache cache_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PREFILTER_H_
