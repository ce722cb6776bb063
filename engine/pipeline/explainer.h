// Why a pixel has its label: the prototypes that speak for each class there.
#ifndef OVDIFF_ENGINE_PIPELINE_EXPLAINER_H_
#define OVDIFF_ENGINE_PIPELINE_EXPLAINER_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/engine.h"
#include "engine/pipeline/picture_scores.h"

namespace ovdiff::engine {

// As Engine::Explain(), for a checked image and checked classes. Scores and
// label are those of Segmenter::Segment(), to the bit on the CPU. A vector's
// cosine is the mean over the windows that see the pixel of its cosines to the
// cells, upsampled as scores are; so a class's score of a space, the like mean
// of the cells' maxima, is at least its winner's cosine. Cosines do not know of
// PAMR. The pixel of a class is the first in reading order of those where it
// scores highest. A point is looked at in the same run; a class's pixel is
// known only after it, so its windows run twice.
absl::StatusOr<Explanation> ExplainPixel(const ScoringParts& parts,
                                         const Image& image,
                                         absl::Span<const SegmentClass> classes,
                                         const SegmentOptions& options,
                                         const ExplainTarget& target,
                                         const CallControl& control);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_EXPLAINER_H_
