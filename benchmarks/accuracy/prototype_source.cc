#include "benchmarks/accuracy/prototype_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "benchmarks/accuracy/picture_files.h"
#include "engine/base/status_macros.h"
#include "server/image_codec.h"

namespace ovdiff::accuracy {
namespace {

using LoadedOr =
    absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>>;

void Ignore(const engine::BuildProgress&) {}

absl::StatusOr<SupportSet> Decode(const store::SupportRecord& record) {
  SupportSet support;
  support.prompt = record.prompt;
  for (const store::SupportPictureRecord& picture : record.pictures) {
    SupportPicture& out = support.pictures.emplace_back();
    OVDIFF_ASSIGN_OR_RETURN(out.image, DecodePicture(picture.png));
    out.attribution = {picture.attribution_width, picture.attribution_height,
                       picture.attribution};
  }
  return support;
}

absl::StatusOr<store::SupportRecord> Encode(const SupportSet& support) {
  store::SupportRecord record;
  record.create_time = absl::Now();
  for (const SupportPicture& picture : support.pictures) {
    store::SupportPictureRecord& out = record.pictures.emplace_back();
    OVDIFF_ASSIGN_OR_RETURN(out.png, server::EncodePng(picture.image));
    out.attribution_width = picture.attribution.width;
    out.attribution_height = picture.attribution.height;
    out.attribution = picture.attribution.data;
  }
  return record;
}

absl::StatusOr<SupportSet> ReadSupport(absl::Span<const SupportFile> files) {
  SupportSet support;
  for (const SupportFile& file : files) {
    SupportPicture& out = support.pictures.emplace_back();
    OVDIFF_ASSIGN_OR_RETURN(const std::string image, ReadFile(file.image));
    OVDIFF_ASSIGN_OR_RETURN(out.image, DecodePicture(image));
    OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file.mask));
    OVDIFF_ASSIGN_OR_RETURN(server::Mask mask,
                            server::DecodeMask(bytes, server::Limits()));
    if (mask.width != out.image.width || mask.height != out.image.height) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.mask, " is ", mask.width, "x", mask.height, "; its picture is ",
          out.image.width, "x", out.image.height));
    }
    out.mask = std::move(mask.data);
  }
  return support;
}

}  // namespace

absl::StatusOr<Sha256Digest> DigestOf(absl::Span<const SupportFile> files) {
  Sha256 content;
  // Sets kept from when masks were taken as attribution have other keys.
  content.UpdateField("pictures and their masks");
  for (const SupportFile& file : files) {
    for (const std::string& path : {file.image, file.mask}) {
      OVDIFF_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
      content.UpdateField(bytes);
    }
  }
  return content.Finish();
}

LoadedOr PrototypeSource::Painted(const std::string& prompt,
                                  const MethodOptions& options,
                                  int painted_pictures) {
  return Get(prompt, engine_.GeneratorFingerprint(options.generation),
             options.prototype, [&]() -> absl::StatusOr<SupportSet> {
               GenerationOptions all = options.generation;
               all.num_pictures = painted_pictures;
               OVDIFF_ASSIGN_OR_RETURN(SupportSet support,
                                       SupportPictures(prompt, all));
               support.pictures.resize(
                   static_cast<size_t>(options.generation.num_pictures));
               return support;
             });
}

LoadedOr PrototypeSource::FromFiles(const std::string& prompt,
                                    absl::Span<const SupportFile> files,
                                    const PrototypeOptions& options) {
  OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest content, DigestOf(files));
  return Get(prompt, content, options, [&] {
    auto support = ReadSupport(files);
    if (support.ok()) {
      support->prompt = prompt;
    }
    return support;
  });
}

absl::StatusOr<SupportSet> PrototypeSource::SupportPictures(
    const std::string& prompt, const GenerationOptions& options) {
  const Sha256Digest generator = engine_.GeneratorFingerprint(options);
  const store::ContentKey key = store::SupportKey(prompt, generator);
  const auto stored = store_.GetSupportSet(key);
  if (stored.ok()) {
    return Decode(*stored);
  }
  if (!absl::IsNotFound(stored.status()) &&
      !absl::IsDataLoss(stored.status())) {
    return stored.status();
  }
  report_(absl::StrCat("painting ", options.num_pictures, " of \"", prompt,
                       "\", seed ", options.seed, ", ", options.num_steps,
                       " steps"));
  OVDIFF_ASSIGN_OR_RETURN(
      SupportSet support,
      engine_.PaintSupportSet(prompt, options, CallControl(), Ignore));
  OVDIFF_ASSIGN_OR_RETURN(store::SupportRecord record, Encode(support));
  record.prompt = prompt;
  record.generator_fingerprint = generator;
  OVDIFF_RETURN_IF_ERROR(store_.PutSupportSet(key, record));
  return support;
}

LoadedOr PrototypeSource::Get(const std::string& prompt,
                              const Sha256Digest& generator,
                              const PrototypeOptions& options,
                              const MakeSupport& make_support) {
  const Sha256Digest encoder = engine_.EncoderFingerprint(options);
  const store::ContentKey key = store::PrototypeKey(prompt, generator, encoder);
  const auto stored = store_.GetPrototypeSet(key);
  if (stored.ok()) {
    return engine_.LoadPrototypes(stored->set);
  }
  if (!absl::IsNotFound(stored.status()) &&
      !absl::IsDataLoss(stored.status())) {
    return stored.status();
  }
  OVDIFF_ASSIGN_OR_RETURN(const SupportSet support, make_support());
  const auto set =
      engine_.BuildPrototypeSet(support, options, CallControl(), Ignore);
  if (!set.ok()) {
    return absl::Status(
        set.status().code(),
        absl::StrCat("class \"", prompt, "\": ", set.status().message()));
  }
  OVDIFF_RETURN_IF_ERROR(
      store_.PutPrototypeSet(key, {.prompt = prompt,
                                   .generator_fingerprint = generator,
                                   .encoder_fingerprint = encoder,
                                   .create_time = absl::Now(),
                                   .set = *set}));
  return engine_.LoadPrototypes(*set);
}

}  // namespace ovdiff::accuracy
