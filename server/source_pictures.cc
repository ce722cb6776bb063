#include "server/source_pictures.h"

#include <optional>

#include "engine/base/status_macros.h"
#include "server/encoder_options.h"
#include "server/image_codec.h"
#include "server/log.h"
#include "server/support_records.h"
#include "server/thumbnail.h"

namespace ovdiff::server {
namespace {

constexpr int kMaxSide = 256;

void LogUnreadable(const store::ClassEntry& entry, const absl::Status& status) {
  Log(LogLevel::kError, "source_picture_unreadable",
      {{"key", ToHex(entry.support_key)}, {"error", status.ToString()}});
}

// The masks of `wanted`, in that order; empty if it is not known how they were
// made. Errors of the engine.
absl::StatusOr<std::vector<engine::PictureMasks>> MakeMasks(
    engine::Engine& engine, const SupportSet& support,
    const store::PrototypeRecord& record, const std::vector<int>& wanted,
    const CallControl& control) {
  const std::optional<PrototypeOptions> options =
      FindEncoderOptions(engine, record);
  if (!options.has_value()) {
    return std::vector<engine::PictureMasks>();
  }
  return engine.MakePictureMasks(support, wanted, *options, control);
}

absl::Status Encode(const Image& image, const engine::PictureMasks* masks,
                    SourcePicture* out) {
  const Image small = Thumbnail(image, kMaxSide);
  OVDIFF_ASSIGN_OR_RETURN(out->picture_png, EncodePng(small));
  if (masks == nullptr) {
    return absl::OkStatus();
  }
  OVDIFF_ASSIGN_OR_RETURN(
      out->foreground_png,
      EncodeMaskPng(masks->foreground, masks->side, small.width, small.height));
  OVDIFF_ASSIGN_OR_RETURN(
      out->background_png,
      EncodeMaskPng(masks->background, masks->side, small.width, small.height));
  return absl::OkStatus();
}

// Those of `wanted` that are in `support`, whose first picture is `first` of
// the class's. Thresholds are taken over one set at a time, as they were when
// the prototypes were made: the class's own pictures, or those of one negative.
// As ReadSourcePictures().
absl::Status ReadSet(engine::Engine& engine, const store::ClassEntry& entry,
                     const store::PrototypeRecord& record,
                     const SupportSet& support, int first,
                     const std::vector<int>& wanted, const CallControl& control,
                     std::map<int, SourcePicture>* pictures) {
  std::vector<int> there;
  for (const int index : wanted) {
    if (index >= first &&
        index < first + static_cast<int>(support.pictures.size())) {
      there.push_back(index - first);
    }
  }
  if (there.empty()) {
    return absl::OkStatus();
  }
  const auto masks = MakeMasks(engine, support, record, there, control);
  OVDIFF_RETURN_IF_ERROR(control.Check());
  if (!masks.ok()) {
    LogUnreadable(entry, masks.status());
  }
  for (size_t i = 0; i < there.size(); ++i) {
    const bool has_masks = masks.ok() && i < masks->size();
    const absl::Status status = Encode(support.pictures[there[i]].image,
                                       has_masks ? &(*masks)[i] : nullptr,
                                       &(*pictures)[first + there[i]]);
    if (!status.ok()) {
      LogUnreadable(entry, status);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::map<int, SourcePicture>> ReadSourcePictures(
    engine::Engine& engine, const store::PrototypeStore& store,
    const Limits& limits, const store::ClassEntry& entry,
    const store::PrototypeRecord& record, const std::vector<int>& wanted,
    const CallControl& control) {
  std::map<int, SourcePicture> pictures;
  const auto stored = store.GetSupportSet(entry.support_key);
  if (absl::IsNotFound(stored.status())) {
    return pictures;  // Imported without pictures, for instance.
  }
  if (absl::IsDataLoss(stored.status())) {
    LogUnreadable(entry, stored.status());
    return pictures;
  }
  OVDIFF_RETURN_IF_ERROR(stored.status());
  const auto support = DecodeClassPictures(*stored, limits);
  if (!support.ok()) {
    LogUnreadable(entry, support.status());
    return pictures;
  }
  OVDIFF_RETURN_IF_ERROR(ReadSet(engine, entry, record, support->own,
                                 /*first=*/0, wanted, control, &pictures));
  auto first = static_cast<int>(support->own.pictures.size());
  for (const SupportSet& negative : support->negatives) {
    OVDIFF_RETURN_IF_ERROR(ReadSet(engine, entry, record, negative, first,
                                   wanted, control, &pictures));
    first += static_cast<int>(negative.pictures.size());
  }
  return pictures;
}

}  // namespace ovdiff::server
