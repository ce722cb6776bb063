// BuildEstimate: how far one class is, and how long it still takes.
#ifndef OVDIFF_SERVER_BUILD_ESTIMATE_H_
#define OVDIFF_SERVER_BUILD_ESTIMATE_H_

#include "absl/time/time.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::server {

// Thread-compatible. Fractions never fall.
class BuildEstimate {
 public:
  BuildEstimate(absl::Time start, bool has_pictures)
      : start_(start), has_pictures_(has_pictures) {}

  // The pictures were in the store: only encoding is left.
  void SetHasPictures() { has_pictures_ = true; }

  // Progress messages from the engine's reports; name and label are not set.
  v1::ClassProgress Update(const engine::BuildProgress& progress,
                           absl::Time now);

 private:
  const absl::Time start_;
  bool has_pictures_;
  double fraction_ = 0;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_BUILD_ESTIMATE_H_
