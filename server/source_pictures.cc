#include "server/source_pictures.h"

#include <algorithm>
#include <optional>

#include "engine/base/status_macros.h"
#include "server/encoder_options.h"
#include "server/image_codec.h"
#include "server/log.h"
#include "server/picture_resize.h"
#include "server/support_records.h"

namespace ovdiff::server {
namespace {

constexpr int kMaxSide = 256;

void LogUnreadable(const store::ClassEntry& entry, const absl::Status& status) {
  Log(LogLevel::kError, "source_picture_unreadable",
      {{"key", ToHex(entry.support_key)}, {"error", status.ToString()}});
}

// Pictures of one set, which were made into prototypes together: `places` in
// it, which are `indices` among all pictures of the class.
struct Wanted {
  std::vector<int> places;
  std::vector<int> indices;
};

// What of `wanted` is in the set of negative number `negative`; 0: in the
// class's own.
Wanted WantedOf(const store::SupportRecord& record, size_t negative,
                const std::vector<int>& wanted) {
  Wanted result;
  int place = 0;
  for (size_t i = 0; i < record.pictures.size(); ++i) {
    if (record.pictures[i].negative != negative) {
      continue;
    }
    const auto index = static_cast<int>(i);
    if (std::find(wanted.begin(), wanted.end(), index) != wanted.end()) {
      result.places.push_back(place);
      result.indices.push_back(index);
    }
    ++place;
  }
  return result;
}

absl::StatusOr<std::string> EncodeMask(const std::vector<uint8_t>& mask,
                                       int side, const Image& picture) {
  OVDIFF_ASSIGN_OR_RETURN(
      const Mask stretched,
      StretchMask({side, side, mask}, picture.width, picture.height));
  return EncodeMaskPng(stretched);
}

// `masks` may be null. A negative's object is the class's background.
absl::Status Encode(const SupportPicture& picture,
                    const engine::PictureMasks* masks, bool is_negative,
                    SourcePicture* out) {
  OVDIFF_ASSIGN_OR_RETURN(
      const SupportPicture small,
      ShrinkPicture({.image = picture.image, .attribution = {}, .mask = {}},
                    kMaxSide));
  OVDIFF_ASSIGN_OR_RETURN(out->picture_png, EncodePng(small.image));
  if (masks == nullptr) {
    return absl::OkStatus();
  }
  OVDIFF_ASSIGN_OR_RETURN(
      (is_negative ? out->background_png : out->foreground_png),
      EncodeMask(masks->foreground, masks->side, small.image));
  if (!is_negative) {
    OVDIFF_ASSIGN_OR_RETURN(
        out->background_png,
        EncodeMask(masks->background, masks->side, small.image));
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
  const absl::StatusOr<ClassPictures> all =
      DecodeClassPictures(*stored, limits);
  if (!all.ok()) {
    LogUnreadable(entry, all.status());
    return pictures;
  }
  const std::optional<PrototypeOptions> options =
      FindEncoderOptions(engine, record);
  for (size_t i = 0; i <= all->negatives.size(); ++i) {
    const SupportSet& set = i == 0 ? all->own : all->negatives[i - 1];
    const Wanted some = WantedOf(*stored, i, wanted);
    absl::StatusOr<std::vector<engine::PictureMasks>> masks;
    if (options.has_value() && !some.places.empty()) {
      masks = engine.MakePictureMasks(set, some.places, *options, control);
      OVDIFF_RETURN_IF_ERROR(control.Check());
      if (!masks.ok()) {
        LogUnreadable(entry, masks.status());
      }
    }
    for (size_t k = 0; k < some.places.size(); ++k) {
      const absl::Status status = Encode(set.pictures[some.places[k]],
                                         masks.ok() ? &(*masks)[k] : nullptr,
                                         i > 0, &pictures[some.indices[k]]);
      if (!status.ok()) {
        LogUnreadable(entry, status);
      }
    }
  }
  return pictures;
}

}  // namespace ovdiff::server
