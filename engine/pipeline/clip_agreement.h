// How well CLIP finds a text in a picture: what the prefilter keeps classes by,
// and what support pictures are pruned by.
#ifndef OVDIFF_ENGINE_PIPELINE_CLIP_AGREEMENT_H_
#define OVDIFF_ENGINE_PIPELINE_CLIP_AGREEMENT_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/image.h"
#include "engine/bundle/bundle.h"
#include "engine/runners/model_set.h"
#include "torch/types.h"

namespace ovdiff::engine {

// The picture squashed as CLIP is shown it (Lanczos). Runs on any thread.
absl::StatusOr<Image> SquashForClip(const Image& image,
                                    const PrefilterSpec& spec);

// The next two run on the device thread and throw what torch throws.

// Embedding of length 1, float32 [P] on `device`, of a squashed picture.
torch::Tensor EmbedForClip(const Image& squashed, const PrefilterSpec& spec,
                           const ModelSet& models, torch::Device device);

// Embedding of length 1, float32 [P] on the device, of one text; beyond CLIP's
// context it is cut. kInvalidArgument if it is not UTF-8.
absl::StatusOr<torch::Tensor> EmbedTextForClip(const std::string& text,
                                               const ModelSet& models);

// In place of a cosine, of a picture that always stays.
inline constexpr double kNeverPruned = std::numeric_limits<double>::infinity();

// The pictures to leave out: of the N that may go the floor(share * N) with the
// lowest cosines, later ones first among equals; ascending. `share`: 0 up to
// but not 1, so that one picture stays.
std::vector<int64_t> LeastAlike(absl::Span<const double> cosines, double share);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_CLIP_AGREEMENT_H_
