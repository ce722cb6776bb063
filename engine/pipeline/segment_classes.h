// What a Segment call's classes bring: checks, common spaces, vectors.
#ifndef OVDIFF_ENGINE_PIPELINE_SEGMENT_CLASSES_H_
#define OVDIFF_ENGINE_PIPELINE_SEGMENT_CLASSES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/method_options.h"
#include "engine/bundle/bundle.h"
#include "engine/engine.h"
#include "engine/pipeline/window_matcher.h"
#include "engine/runners/model_set.h"

namespace ovdiff::engine {

// kInvalidArgument for no class, a label of 0 or used twice, or prototypes that
// are null or another engine's.
absl::Status CheckClasses(absl::Span<const SegmentClass> classes);

// The spaces to look in, in the bundle's order: options.spaces, which every
// class must have, or without any those that all classes have.
// kFailedPrecondition names a class and what it lacks. REQUIRES: checked.
absl::StatusOr<std::vector<std::string>> CommonSpaces(
    absl::Span<const SegmentClass> classes, const SegmentOptions& options,
    const Bundle& bundle);

// Vectors of the classes `kept` (ascending indices) in each of `spaces`, those
// of stuff without background where the stuff filter is on. The tensors share
// the classes' memory unless levels are switched off.
std::vector<SpaceVectors> CollectVectors(absl::Span<const SegmentClass> classes,
                                         const std::vector<size_t>& kept,
                                         const std::vector<std::string>& spaces,
                                         const SegmentOptions& options,
                                         const ModelSet& models);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_SEGMENT_CLASSES_H_
