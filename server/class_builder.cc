#include "server/class_builder.h"

#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/build_estimate.h"
#include "server/class_prototypes.h"
#include "server/convert.h"
#include "server/prompt_spec.h"

namespace ovdiff::server {

ClassBuilder::ClassBuilder(engine::Engine& engine, store::PrototypeStore& store,
                           Metrics& metrics, const Limits& limits)
    : engine_(engine),
      store_(store),
      metrics_(metrics),
      pictures_(engine, store, metrics, limits, locks_) {}

store::NewClass ClassBuilder::Describe(
    const v1::ClassSpec& spec, const ResolvedBuildOptions& options) const {
  store::NewClass described;
  described.name = spec.name();
  described.prompt = PromptSpecText(spec);
  described.kind = KindOf(spec);
  const Sha256Digest generator =
      engine_.GeneratorFingerprint(options.generation);
  described.support_key = store::SupportKey(described.prompt, generator);
  described.prototype_key =
      store::PrototypeKey(described.prompt, generator,
                          engine_.EncoderFingerprint(options.prototype));
  return described;
}

absl::Status ClassBuilder::Build(const v1::ClassSpec& spec,
                                 const ResolvedBuildOptions& options,
                                 const CallControl& control,
                                 const Report& report, const Publish& publish,
                                 store::NewClass described) {
  // Held until the class is published: only then can another build find it.
  OVDIFF_ASSIGN_OR_RETURN(const auto key_lock,
                          locks_.Take(described.support_key, control));
  OVDIFF_ASSIGN_OR_RETURN(const bool is_built,
                          store_.HasPrototypeSet(described.prototype_key));
  if (is_built) {
    const absl::Status status = publish(described, v1::CACHE_HIT_PROTOTYPES);
    if (!absl::IsNotFound(status)) {
      metrics_.PrototypeHit("store");
      return status;
    }
    // Garbage was collected this very moment: then it is built after all.
  }
  metrics_.PrototypeMiss("store");
  // Minutes of work are not begun for what could not be kept.
  OVDIFF_RETURN_IF_ERROR(store_.Health());
  v1::CacheHit hit = v1::CACHE_HIT_NONE;
  OVDIFF_RETURN_IF_ERROR(
      MakeSet(spec, options, control, report, described, &hit));
  return publish(described, hit);
}

absl::Status ClassBuilder::MakeSet(const v1::ClassSpec& spec,
                                   const ResolvedBuildOptions& options,
                                   const CallControl& control,
                                   const Report& report,
                                   store::NewClass& described,
                                   v1::CacheHit* hit) {
  const bool paints =
      NumPaintedPictures(spec, options.generation.num_pictures) > 0;
  BuildEstimate estimate(absl::Now(), /*has_pictures=*/!paints);
  const engine::ProgressCallback on_progress =
      [&](const engine::BuildProgress& progress) {
        if (*hit == v1::CACHE_HIT_PICTURES) {
          estimate.SetHasPictures();
        }
        v1::ClassProgress update = estimate.Update(progress, absl::Now());
        update.set_cache_hit(*hit);
        report(update);
      };
  OVDIFF_ASSIGN_OR_RETURN(
      const ClassPictures pictures,
      pictures_.Get(spec, described, options, control, on_progress, hit));
  OVDIFF_ASSIGN_OR_RETURN(
      PrototypeSet set,
      BuildClassPrototypes(engine_, pictures, options.prototype, control,
                           on_progress));
  store::PrototypeRecord record;
  record.prompt = described.prompt;
  record.generator_fingerprint =
      engine_.GeneratorFingerprint(options.generation);
  record.encoder_fingerprint = engine_.EncoderFingerprint(options.prototype);
  record.create_time = absl::Now();
  record.set = std::move(set);
  described.set = std::move(record);
  return absl::OkStatus();
}

}  // namespace ovdiff::server
