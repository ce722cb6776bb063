#include "server/class_builder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/text/prompt_text.h"
#include "server/build_estimate.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/image_codec.h"
#include "server/log.h"

namespace ovdiff::server {
namespace {

// How often a wait for another build looks for its own cancellation.
constexpr absl::Duration kPoll = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<SupportSet> DecodeSupportSet(const store::SupportRecord& record,
                                            const Limits& limits) {
  SupportSet support;
  support.prompt = record.prompt;
  for (const store::SupportPictureRecord& picture : record.pictures) {
    SupportPicture& out = support.pictures.emplace_back();
    OVDIFF_ASSIGN_OR_RETURN(out.image, DecodeImage(picture.png, limits));
    out.attribution = {picture.attribution_width, picture.attribution_height,
                       picture.attribution};
  }
  return support;
}

class ClassBuilder::KeyLock {
 public:
  static absl::StatusOr<std::unique_ptr<KeyLock>> Take(
      ClassBuilder& builder, const store::ContentKey& key,
      const CallControl& control) {
    MutexLock lock(&builder.mutex_);
    while (builder.busy_.count(key) > 0) {
      OVDIFF_RETURN_IF_ERROR(control.Check());
      builder.released_.WaitUntil(&builder.mutex_, absl::Now() + kPoll);
    }
    builder.busy_.insert(key);
    return std::unique_ptr<KeyLock>(new KeyLock(builder, key));
  }

  ~KeyLock() {
    MutexLock lock(&builder_.mutex_);
    builder_.busy_.erase(key_);
    builder_.released_.SignalAll();
  }

 private:
  KeyLock(ClassBuilder& builder, const store::ContentKey& key)
      : builder_(builder), key_(key) {}

  ClassBuilder& builder_;
  const store::ContentKey key_;
};

ClassBuilder::ClassBuilder(engine::Engine& engine, store::PrototypeStore& store,
                           Metrics& metrics, const Limits& limits)
    : engine_(engine), store_(store), metrics_(metrics), limits_(limits) {}

store::NewClass ClassBuilder::Describe(
    const v1::ClassSpec& spec, const ResolvedBuildOptions& options) const {
  const std::string& text = spec.prompt().empty() ? spec.name() : spec.prompt();
  const auto normal = engine::NormalizePrompt(text);
  store::NewClass described;
  described.name = spec.name();
  // Acceptance has checked the text; what a record from disk holds, the engine
  // checks again.
  described.prompt = normal.ok() ? *normal : text;
  described.kind = KindOf(spec);
  const Sha256Digest generator =
      engine_.GeneratorFingerprint(options.generation);
  described.support_key = store::SupportKey(described.prompt, generator);
  described.prototype_key =
      store::PrototypeKey(described.prompt, generator,
                          engine_.EncoderFingerprint(options.prototype));
  return described;
}

absl::Status ClassBuilder::Build(const ResolvedBuildOptions& options,
                                 const CallControl& control,
                                 const Report& report, const Publish& publish,
                                 store::NewClass described) {
  // Held until the class is published: only then can another build find it.
  OVDIFF_ASSIGN_OR_RETURN(const auto key_lock,
                          KeyLock::Take(*this, described.support_key, control));
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
  OVDIFF_RETURN_IF_ERROR(MakeSet(options, control, report, described, &hit));
  return publish(described, hit);
}

absl::Status ClassBuilder::MakeSet(const ResolvedBuildOptions& options,
                                   const CallControl& control,
                                   const Report& report,
                                   store::NewClass& described,
                                   v1::CacheHit* hit) {
  BuildEstimate estimate(absl::Now(), /*has_pictures=*/false);
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
      const SupportSet support,
      GetSupportSet(described, options, control, on_progress, hit));
  OVDIFF_ASSIGN_OR_RETURN(PrototypeSet set,
                          engine_.BuildPrototypeSet(support, options.prototype,
                                                    control, on_progress));
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

absl::StatusOr<SupportSet> ClassBuilder::GetSupportSet(
    const store::NewClass& described, const ResolvedBuildOptions& options,
    const CallControl& control, const engine::ProgressCallback& on,
    v1::CacheHit* hit) {
  *hit = v1::CACHE_HIT_NONE;
  const auto record = store_.GetSupportSet(described.support_key);
  if (record.ok()) {
    absl::StatusOr<SupportSet> stored = DecodeSupportSet(*record, limits_);
    if (stored.ok()) {
      metrics_.PrototypeHit("pictures");
      *hit = v1::CACHE_HIT_PICTURES;
      return stored;
    }
    Log(LogLevel::kError, "support_set_unreadable",
        {{"key", ToHex(described.support_key)},
         {"error", stored.status().ToString()}});
  } else if (absl::IsDataLoss(record.status())) {
    // Damaged pictures cost painting them again, not the class.
    Log(LogLevel::kError, "support_set_damaged",
        {{"key", ToHex(described.support_key)},
         {"error", record.status().ToString()}});
  } else if (!absl::IsNotFound(record.status())) {
    return record.status();
  }
  metrics_.PrototypeMiss("pictures");
  OVDIFF_ASSIGN_OR_RETURN(
      SupportSet support,
      engine_.PaintSupportSet(described.prompt, options.generation, control,
                              on));
  OVDIFF_RETURN_IF_ERROR(StoreSupportSet(described, options, support));
  return support;
}

absl::Status ClassBuilder::StoreSupportSet(const store::NewClass& described,
                                           const ResolvedBuildOptions& options,
                                           const SupportSet& support) {
  store::SupportRecord record;
  record.prompt = described.prompt;
  record.generator_fingerprint =
      engine_.GeneratorFingerprint(options.generation);
  record.create_time = absl::Now();
  for (const SupportPicture& picture : support.pictures) {
    store::SupportPictureRecord& out = record.pictures.emplace_back();
    OVDIFF_ASSIGN_OR_RETURN(out.png, EncodePng(picture.image));
    out.attribution_width = picture.attribution.width;
    out.attribution_height = picture.attribution.height;
    out.attribution = picture.attribution.data;
  }
  return store_.PutSupportSet(described.support_key, record);
}

}  // namespace ovdiff::server
