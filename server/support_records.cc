#include "server/support_records.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/image_codec.h"
#include "server/prompt_spec.h"

namespace ovdiff::server {
namespace {

absl::StatusOr<SupportPicture> DecodePicture(
    const store::SupportPictureRecord& record, const Limits& limits) {
  SupportPicture picture;
  OVDIFF_ASSIGN_OR_RETURN(picture.image, DecodeImage(record.png, limits));
  picture.attribution = {record.attribution_width, record.attribution_height,
                         record.attribution};
  if (record.mask_png.empty()) {
    return picture;
  }
  OVDIFF_ASSIGN_OR_RETURN(Mask mask, DecodeMask(record.mask_png, limits));
  if (mask.width != picture.image.width ||
      mask.height != picture.image.height) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a mask of ", mask.width, "x", mask.height, " pixels for a picture of ",
        picture.image.width, "x", picture.image.height));
  }
  picture.mask = std::move(mask.data);
  return picture;
}

}  // namespace

absl::StatusOr<store::SupportPictureRecord> EncodeSupportPicture(
    const SupportPicture& picture) {
  store::SupportPictureRecord record;
  OVDIFF_ASSIGN_OR_RETURN(record.png, EncodePng(picture.image));
  record.attribution_width = picture.attribution.width;
  record.attribution_height = picture.attribution.height;
  record.attribution = picture.attribution.data;
  if (!picture.mask.empty()) {
    OVDIFF_ASSIGN_OR_RETURN(record.mask_png,
                            EncodeMaskPng({.width = picture.image.width,
                                           .height = picture.image.height,
                                           .data = picture.mask}));
  }
  return record;
}

absl::StatusOr<std::vector<store::SupportPictureRecord>> EncodeClassPictures(
    const ClassPictures& pictures) {
  std::vector<store::SupportPictureRecord> records;
  for (const SupportPicture& picture : pictures.own.pictures) {
    OVDIFF_ASSIGN_OR_RETURN(records.emplace_back(),
                            EncodeSupportPicture(picture));
  }
  for (size_t i = 0; i < pictures.negatives.size(); ++i) {
    for (const SupportPicture& picture : pictures.negatives[i].pictures) {
      OVDIFF_ASSIGN_OR_RETURN(records.emplace_back(),
                              EncodeSupportPicture(picture));
      records.back().negative = static_cast<uint8_t>(i + 1);
    }
  }
  return records;
}

absl::StatusOr<SupportSet> DecodeSupportSet(const store::SupportRecord& record,
                                            const Limits& limits) {
  SupportSet support;
  support.prompt = record.prompt.substr(0, record.prompt.find('\n'));
  for (const store::SupportPictureRecord& picture : record.pictures) {
    OVDIFF_ASSIGN_OR_RETURN(support.pictures.emplace_back(),
                            DecodePicture(picture, limits));
  }
  return support;
}

absl::StatusOr<ClassPictures> DecodeClassPictures(
    const store::SupportRecord& record, const Limits& limits) {
  OVDIFF_ASSIGN_OR_RETURN(SupportSet all, DecodeSupportSet(record, limits));
  OVDIFF_ASSIGN_OR_RETURN(const v1::ClassSpec spec,
                          ParsePromptSpec(record.prompt));
  ClassPictures pictures;
  pictures.own.prompt = std::move(all.prompt);
  for (const v1::Negative& negative : spec.negatives()) {
    pictures.negatives.push_back({negative.prompt(), {}});
  }
  for (size_t i = 0; i < all.pictures.size(); ++i) {
    const size_t negative = record.pictures[i].negative;
    if (negative > pictures.negatives.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("picture ", i, " is of negative ", negative, "; the ",
                       "class has ", pictures.negatives.size()));
    }
    SupportSet& set =
        negative == 0 ? pictures.own : pictures.negatives[negative - 1];
    set.pictures.push_back(std::move(all.pictures[i]));
  }
  return pictures;
}

}  // namespace ovdiff::server
