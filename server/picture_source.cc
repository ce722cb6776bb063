#include "server/picture_source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/given_pictures.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/prompt_spec.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

// A negative's picture without a mask: all of it is what the class is not.
void CoverIfUnmasked(SupportPicture& picture) {
  if (picture.mask.empty()) {
    picture.mask.assign(static_cast<size_t>(picture.image.width) *
                            static_cast<size_t>(picture.image.height),
                        1);
  }
}

}  // namespace

absl::StatusOr<ClassPictures> PictureSource::Get(
    const v1::ClassSpec& spec, const store::NewClass& described,
    const ResolvedBuildOptions& options, const CallControl& control,
    const engine::ProgressCallback& progress, v1::CacheHit* hit) {
  *hit = v1::CACHE_HIT_NONE;
  OVDIFF_ASSIGN_OR_RETURN(std::optional<ClassPictures> stored,
                          FindStored(described.support_key));
  if (stored.has_value()) {
    metrics_.PrototypeHit("pictures");
    *hit = v1::CACHE_HIT_PICTURES;
    return *std::move(stored);
  }
  metrics_.PrototypeMiss("pictures");
  ClassPictures pictures;
  if (IsPlain(spec)) {
    Painting painting{.options = options,
                      .control = control,
                      .progress = progress,
                      .num_pictures = options.generation.num_pictures,
                      .to_paint = options.generation.num_pictures};
    OVDIFF_ASSIGN_OR_RETURN(pictures.own, Paint(described.prompt, painting));
  } else {
    OVDIFF_ASSIGN_OR_RETURN(pictures,
                            Gather(spec, options, control, progress, hit));
  }
  OVDIFF_RETURN_IF_ERROR(Store(described.prompt, described.support_key,
                               options.generation, pictures));
  return pictures;
}

absl::StatusOr<std::optional<ClassPictures>> PictureSource::FindStored(
    const store::ContentKey& key) const {
  const auto record = store_.GetSupportSet(key);
  if (record.ok()) {
    auto stored = DecodeClassPictures(*record, limits_);
    if (stored.ok()) {
      return *std::move(stored);
    }
    Log(LogLevel::kError, "support_set_unreadable",
        {{"key", ToHex(key)}, {"error", stored.status().ToString()}});
  } else if (absl::IsDataLoss(record.status())) {
    // Damaged pictures cost painting them again, not the class.
    Log(LogLevel::kError, "support_set_damaged",
        {{"key", ToHex(key)}, {"error", record.status().ToString()}});
  } else if (!absl::IsNotFound(record.status())) {
    return record.status();
  }
  return std::nullopt;
}

absl::Status PictureSource::Store(const std::string& text,
                                  const store::ContentKey& key,
                                  const GenerationOptions& options,
                                  const ClassPictures& pictures) {
  store::SupportRecord record;
  record.prompt = text;
  record.generator_fingerprint = engine_.GeneratorFingerprint(options);
  record.create_time = absl::Now();
  OVDIFF_ASSIGN_OR_RETURN(record.pictures, EncodeClassPictures(pictures));
  return store_.PutSupportSet(key, record);
}

absl::StatusOr<SupportSet> PictureSource::Paint(const std::string& prompt,
                                                Painting& painting) {
  const GenerationOptions& generation = painting.options.generation;
  const engine::ProgressCallback on_progress =
      [&](const engine::BuildProgress& update) {
        engine::BuildProgress overall = update;
        const int found = painting.num_pictures - painting.to_paint;
        overall.pictures_done += found + painting.painted;
        overall.num_pictures = painting.num_pictures;
        if (update.num_steps > 0) {
          overall.steps_done +=
              int64_t{painting.painted} * generation.num_steps;
          overall.num_steps = int64_t{painting.to_paint} * generation.num_steps;
        }
        painting.progress(overall);
      };
  OVDIFF_ASSIGN_OR_RETURN(
      SupportSet support,
      engine_.PaintSupportSet(prompt, generation, painting.control,
                              on_progress));
  support.prompt = prompt;
  painting.painted += generation.num_pictures;
  return support;
}

absl::StatusOr<SupportSet> PictureSource::FindOrPaint(const std::string& prompt,
                                                      Painting& painting) {
  const GenerationOptions& generation = painting.options.generation;
  const store::ContentKey key =
      store::SupportKey(prompt, engine_.GeneratorFingerprint(generation));
  // No builder that holds a prompt's key waits for another key.
  OVDIFF_ASSIGN_OR_RETURN(const auto held, locks_.Take(key, painting.control));
  OVDIFF_ASSIGN_OR_RETURN(std::optional<ClassPictures> stored, FindStored(key));
  if (stored.has_value()) {
    painting.painted += generation.num_pictures;
    return std::move(stored->own);
  }
  ClassPictures pictures;
  auto painted = Paint(prompt, painting);
  OVDIFF_RETURN_IF_ERROR(
      WithPrefix(painted.status(), absl::StrCat("painting ", Quoted(prompt))));
  pictures.own = *std::move(painted);
  OVDIFF_RETURN_IF_ERROR(Store(prompt, key, generation, pictures));
  return std::move(pictures.own);
}

absl::Status PictureSource::GetPrompted(
    std::vector<Prompted>& wanted, const ResolvedBuildOptions& options,
    const CallControl& control, const engine::ProgressCallback& progress,
    v1::CacheHit* hit) {
  const Sha256Digest generator =
      engine_.GeneratorFingerprint(options.generation);
  const int per_prompt = options.generation.num_pictures;
  Painting painting{
      .options = options,
      .control = control,
      .progress = progress,
      .num_pictures = per_prompt * static_cast<int>(wanted.size())};
  for (Prompted& one : wanted) {
    OVDIFF_RETURN_IF_ERROR(control.Check());
    OVDIFF_ASSIGN_OR_RETURN(
        std::optional<ClassPictures> stored,
        FindStored(store::SupportKey(one.prompt, generator)));
    if (stored.has_value()) {
      one.pictures = std::move(stored->own);
    } else {
      painting.to_paint += per_prompt;
    }
  }
  if (!wanted.empty() && painting.to_paint == 0) {
    *hit = v1::CACHE_HIT_PICTURES;
  }
  for (Prompted& one : wanted) {
    if (!one.pictures.has_value()) {
      OVDIFF_ASSIGN_OR_RETURN(one.pictures, FindOrPaint(one.prompt, painting));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SupportPicture>> PictureSource::GetGiven(
    const v1::ClassSpec& spec, const ResolvedBuildOptions& options,
    const CallControl& control) {
  OVDIFF_ASSIGN_OR_RETURN(
      std::vector<SupportPicture> given,
      LoadGivenPictures(spec, engine_.info().picture_size, limits_, store_));
  std::vector<Image> unmasked;
  for (int i = 0; i < spec.pictures_size(); ++i) {
    if (given[i].mask.empty()) {
      unmasked.push_back(given[i].image);
    }
  }
  if (unmasked.empty()) {
    return given;
  }
  OVDIFF_ASSIGN_OR_RETURN(
      std::vector<AttributionMap> maps,
      engine_.AttributePictures(MainPrompt(spec), unmasked, options.generation,
                                control));
  size_t next = 0;
  for (int i = 0; i < spec.pictures_size(); ++i) {
    if (given[i].mask.empty()) {
      given[i].attribution = std::move(maps[next++]);
    }
  }
  return given;
}

absl::StatusOr<ClassPictures> PictureSource::Gather(
    const v1::ClassSpec& spec, const ResolvedBuildOptions& options,
    const CallControl& control, const engine::ProgressCallback& progress,
    v1::CacheHit* hit) {
  // First, for it may fail.
  OVDIFF_ASSIGN_OR_RETURN(std::vector<SupportPicture> given,
                          GetGiven(spec, options, control));
  std::vector<Prompted> prompted;
  for (const std::string& prompt : AllPaintedPrompts(spec)) {
    prompted.push_back({prompt, std::nullopt});
  }
  const size_t num_own = PaintedPrompts(spec).size();
  OVDIFF_RETURN_IF_ERROR(
      GetPrompted(prompted, options, control, progress, hit));

  ClassPictures pictures;
  pictures.own.prompt = MainPrompt(spec);
  std::vector<SupportPicture>& own = pictures.own.pictures;
  for (size_t i = 0; i < num_own; ++i) {
    std::move(prompted[i].pictures->pictures.begin(),
              prompted[i].pictures->pictures.end(), std::back_inserter(own));
  }
  auto next_given = given.begin();
  for (int i = 0; i < spec.pictures_size(); ++i) {
    own.push_back(std::move(*next_given++));
  }
  auto next_prompted = prompted.begin() + static_cast<ptrdiff_t>(num_own);
  for (const v1::Negative& negative : spec.negatives()) {
    if (negative.has_picture()) {
      CoverIfUnmasked(*next_given);
      pictures.negatives.push_back({"", {std::move(*next_given++)}});
    } else {
      pictures.negatives.push_back(*std::move((next_prompted++)->pictures));
    }
  }
  return pictures;
}

}  // namespace ovdiff::server
