// Callers' pictures that may not show what they were given for.
#ifndef OVDIFF_SERVER_DOUBTFUL_PICTURES_H_
#define OVDIFF_SERVER_DOUBTFUL_PICTURES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Of the pictures of a digested spec that came without a mask, those in which
// CLIP finds the class (the best of its prompt and synonyms) less than the mean
// of it and the vocabulary's other things, by their prompts: the 100 of the
// lowest labels, if there are more. About what the prefilter's first stage
// drops classes by. A mask says where the object is, so CLIP is not asked. None
// of stuff, nor where the vocabulary has no other thing. Fails as
// LoadGivenPictures() and Engine::CompareWithNames().
absl::StatusOr<std::vector<v1::DoubtfulPicture>> FindDoubtfulPictures(
    const v1::ClassSpec& digested, const store::Vocabulary& vocabulary,
    const Limits& limits, const store::PrototypeStore& store,
    engine::Engine& engine, const CallControl& control);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_DOUBTFUL_PICTURES_H_
