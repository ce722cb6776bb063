// The answer of DiffVocabularyVersions.
#ifndef OVDIFF_SERVER_DIFF_VERSIONS_H_
#define OVDIFF_SERVER_DIFF_VERSIONS_H_

#include "absl/status/status.h"
#include "engine/base/call_control.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/vocabulary_cache.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Fills `response`. Blocks on the store, up to a minute or so on large changes.
// kInvalidArgument, kNotFound naming the vocabulary and version; as `control`.
absl::Status DiffVersions(const v1::DiffVocabularyVersionsRequest& request,
                          VocabularyCache& cache,
                          const store::PrototypeStore& store,
                          const CallControl& control,
                          v1::DiffVocabularyVersionsResponse& response);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_DIFF_VERSIONS_H_
