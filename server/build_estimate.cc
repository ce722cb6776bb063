#include "server/build_estimate.h"

#include <algorithm>

namespace ovdiff::server {
namespace {

// Share of a whole build by stage, from Stable Diffusion's operation counts: 30
// guided steps and one decoding against three encoders per picture. Only the
// estimate depends on them.
struct Share {
  double begin;
  double size;
};

Share ShareOf(engine::BuildStage stage) {
  switch (stage) {
    case engine::BuildStage::kPainting:
    case engine::BuildStage::kDecoding:
      return {0.0, 0.90};
    case engine::BuildStage::kEncoding:
      return {0.90, 0.08};
    case engine::BuildStage::kClustering:
      return {0.98, 0.02};
  }
  return {0.0, 0.0};
}

// Batches are painted and decoded in turns, so both stages count as painting.
bool IsPainting(engine::BuildStage stage) {
  return stage == engine::BuildStage::kPainting ||
         stage == engine::BuildStage::kDecoding;
}

double DoneInStage(const engine::BuildProgress& progress) {
  if (IsPainting(progress.stage) && progress.num_steps > 0) {
    return static_cast<double>(progress.steps_done) /
           static_cast<double>(progress.num_steps);
  }
  return progress.num_pictures > 0
             ? static_cast<double>(progress.pictures_done) /
                   progress.num_pictures
             : 0.0;
}

}  // namespace

v1::ClassProgress BuildEstimate::Update(const engine::BuildProgress& progress,
                                        absl::Time now) {
  const Share share = ShareOf(progress.stage);
  double fraction =
      share.begin + share.size * std::clamp(DoneInStage(progress), 0.0, 1.0);
  if (has_pictures_) {
    const double begin = ShareOf(engine::BuildStage::kEncoding).begin;
    fraction = std::max(0.0, fraction - begin) / (1.0 - begin);
  }
  fraction_ = std::max(fraction_, fraction);

  v1::ClassProgress out;
  out.set_stage(IsPainting(progress.stage) ? v1::CLASS_STAGE_PAINTING
                                           : v1::CLASS_STAGE_ENCODING);
  out.set_pictures_done(progress.pictures_done);
  out.set_num_pictures(progress.num_pictures);
  out.set_fraction_done(fraction_);
  const double elapsed = absl::ToDoubleSeconds(now - start_);
  out.set_elapsed_seconds(elapsed);
  // Earlier, the first step's warm-up would speak for all of them.
  constexpr double kEnoughToTell = 0.02;
  if (fraction_ >= kEnoughToTell) {
    out.set_remaining_seconds(elapsed * (1.0 - fraction_) / fraction_);
  }
  return out;
}

}  // namespace ovdiff::server
