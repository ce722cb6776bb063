#include "server/given_pictures.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/image_codec.h"
#include "server/image_header.h"
#include "server/picture_resize.h"
#include "server/prompt_spec.h"
#include "server/support_records.h"

namespace ovdiff::server {
namespace {

// Room for more than any painted picture, and a bound for what a job keeps.
constexpr int kMaxStoredSide = 1024;

absl::Status InField(const absl::Status& status, const std::string& field) {
  const std::string reason = ReasonOf(status);
  return status.ok()
             ? status
             : FieldError(field, absl::StrCat(field, ": ", status.message()),
                          reason.empty() ? reasons::kInvalidImage : reason);
}

absl::Status MaskError(const std::string& field, absl::string_view message) {
  return FieldError(field, absl::StrCat(field, message),
                    reasons::kInvalidImage);
}

// `field` names the picture: "classes[0].pictures[2]".
absl::StatusOr<SupportPicture> Decode(const v1::GivenPicture& given,
                                      const std::string& field,
                                      const Limits& limits) {
  SupportPicture picture;
  auto image = ToImage(given.image(), limits);
  OVDIFF_RETURN_IF_ERROR(
      InField(image.status(), absl::StrCat(field, ".image")));
  picture.image = *std::move(image);
  if (given.mask().empty()) {
    return picture;
  }
  const std::string mask_field = absl::StrCat(field, ".mask");
  auto mask = DecodeMask(given.mask(), limits);
  OVDIFF_RETURN_IF_ERROR(InField(mask.status(), mask_field));
  if (mask->width != picture.image.width ||
      mask->height != picture.image.height) {
    return MaskError(
        mask_field,
        absl::StrCat(" is ", mask->width, "x", mask->height,
                     " pixels, its picture ", picture.image.width, "x",
                     picture.image.height,
                     ", orientation applied; they must be of one size"));
  }
  picture.mask = std::move(mask->data);
  if (std::find(picture.mask.begin(), picture.mask.end(), 1) ==
      picture.mask.end()) {
    return MaskError(mask_field,
                     " has no object pixel: all values are 0; mark the object "
                     "with other values, or send no mask");
  }
  return picture;
}

std::string DigestOf(absl::string_view what, int width, int height,
                     const std::vector<uint8_t>& data) {
  Sha256 hash;
  hash.UpdateField(what);
  hash.UpdateField(absl::StrCat(width, "x", height));
  hash.UpdateField(absl::string_view(reinterpret_cast<const char*>(data.data()),
                                     data.size()));
  const Sha256Digest digest = hash.Finish();
  return std::string(digest.begin(), digest.end());
}

v1::GivenPicture Digested(const SupportPicture& picture) {
  const Image& image = picture.image;
  v1::GivenPicture digested;
  digested.mutable_image()->set_encoded(
      DigestOf("rgb", image.width, image.height, image.data));
  if (!picture.mask.empty()) {
    digested.set_mask(
        DigestOf("mask", image.width, image.height, picture.mask));
  }
  return digested;
}

const v1::GivenPicture& Picture(const v1::ClassSpec& spec, int i) {
  return spec.pictures(i);
}
v1::GivenPicture& Picture(v1::ClassSpec& spec, int i) {
  return *spec.mutable_pictures(i);
}
const v1::GivenPicture& NegativePicture(const v1::ClassSpec& spec, int i) {
  return spec.negatives(i).picture();
}
v1::GivenPicture& NegativePicture(v1::ClassSpec& spec, int i) {
  return *spec.mutable_negatives(i)->mutable_picture();
}

// Calls visit(picture, field) for each given picture of `spec`, const or not,
// the class's own first; stops at the first error.
template <typename Spec, typename Visit>
absl::Status ForEachPicture(Spec& spec, const std::string& field, Visit visit) {
  for (int i = 0; i < spec.pictures_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(
        visit(Picture(spec, i), absl::StrCat(field, ".pictures[", i, "]")));
  }
  for (int i = 0; i < spec.negatives_size(); ++i) {
    if (spec.negatives(i).has_picture()) {
      OVDIFF_RETURN_IF_ERROR(
          visit(NegativePicture(spec, i),
                absl::StrCat(field, ".negatives[", i, "].picture")));
    }
  }
  return absl::OkStatus();
}

// Pixels that a file says it has; 0 for one whose decoding will say what it is.
int64_t PixelsOf(const v1::GivenPicture& picture) {
  const auto of_file = [](const std::string& bytes) -> int64_t {
    const auto header = ReadImageHeader(bytes);
    return header.ok() ? header->width * header->height : 0;
  };
  return of_file(picture.image().encoded()) + of_file(picture.mask()) +
         static_cast<int64_t>(picture.image().raw().rgb().size() / 3);
}

absl::Status CheckPixels(const v1::AddClassesRequest& request,
                         const Limits& limits) {
  const int64_t allowed = kMaxGivenPixelsFactor * limits.max_image_pixels;
  int64_t pixels = 0;
  for (const v1::ClassSpec& spec : request.classes()) {
    OVDIFF_RETURN_IF_ERROR(ForEachPicture(
        spec, "", [&](const v1::GivenPicture& picture, const std::string&) {
          pixels += std::min(PixelsOf(picture), allowed);
          return absl::OkStatus();
        }));
  }
  return pixels <= allowed
             ? absl::OkStatus()
             : FieldError(
                   "classes",
                   absl::StrCat(
                       "classes: the given pictures and masks have ", pixels,
                       " pixels together; at most ", allowed,
                       " are allowed in a request: shrink them, or add the "
                       "classes in several requests"),
                   reasons::kImageTooLarge);
}

}  // namespace

absl::StatusOr<v1::AddClassesRequest> DigestGivenPictures(
    const v1::AddClassesRequest& request, const Limits& limits) {
  OVDIFF_RETURN_IF_ERROR(CheckPixels(request, limits));
  v1::AddClassesRequest digested = request;
  for (int i = 0; i < digested.classes_size(); ++i) {
    std::map<std::string, std::string> seen;  // Digests to field.
    OVDIFF_RETURN_IF_ERROR(ForEachPicture(
        *digested.mutable_classes(i), absl::StrCat("classes[", i, "]"),
        [&](v1::GivenPicture& picture,
            const std::string& field) -> absl::Status {
          OVDIFF_ASSIGN_OR_RETURN(const SupportPicture decoded,
                                  Decode(picture, field, limits));
          picture = Digested(decoded);
          const auto [first, is_new] = seen.emplace(
              absl::StrCat(picture.image().encoded(), picture.mask()), field);
          return is_new ? absl::OkStatus()
                        : FieldError(field,
                                     absl::StrCat(field, " is the same as ",
                                                  first->second,
                                                  ", mask included; give each "
                                                  "picture once"),
                                     reasons::kInvalidField);
        }));
  }
  return digested;
}

store::ContentKey GivenPicturesKey(const v1::ClassSpec& digested) {
  // No prompt begins with a line break, and no generator has made them.
  std::string text = "\ngiven pictures";
  const absl::Status never_fails = ForEachPicture(
      digested, "", [&](const v1::GivenPicture& picture, const std::string&) {
        absl::StrAppend(&text, "\n", picture.image().encoded(), "/",
                        picture.mask());
        return absl::OkStatus();
      });
  return store::SupportKey(text, Sha256Digest{});
}

absl::Status StoreGivenPictures(const v1::ClassSpec& spec,
                                const v1::ClassSpec& digested,
                                const Limits& limits,
                                store::PrototypeStore& store) {
  if (!HasGivenPictures(spec)) {
    return absl::OkStatus();
  }
  store::SupportRecord record;
  record.prompt = "given pictures";
  record.create_time = absl::Now();
  OVDIFF_RETURN_IF_ERROR(
      ForEachPicture(spec, spec.name(),
                     [&](const v1::GivenPicture& given,
                         const std::string& field) -> absl::Status {
                       OVDIFF_ASSIGN_OR_RETURN(SupportPicture picture,
                                               Decode(given, field, limits));
                       OVDIFF_ASSIGN_OR_RETURN(
                           picture, ShrinkPicture(picture, kMaxStoredSide));
                       OVDIFF_ASSIGN_OR_RETURN(record.pictures.emplace_back(),
                                               EncodeSupportPicture(picture));
                       return absl::OkStatus();
                     }));
  return store.PutSupportSet(GivenPicturesKey(digested), record);
}

absl::StatusOr<std::vector<SupportPicture>> LoadGivenPictures(
    const v1::ClassSpec& digested, int side, const Limits& limits,
    const store::PrototypeStore& store) {
  std::vector<SupportPicture> pictures;
  if (!HasGivenPictures(digested)) {
    return pictures;
  }
  const auto record = store.GetSupportSet(GivenPicturesKey(digested));
  const auto stored = record.ok() ? DecodeSupportSet(*record, limits)
                                  : absl::StatusOr<SupportSet>(record.status());
  if (absl::IsNotFound(stored.status()) || absl::IsDataLoss(stored.status()) ||
      absl::IsInvalidArgument(stored.status())) {
    return PreconditionError(
        digested.name(),
        absl::StrCat("its given pictures are no longer in the store (",
                     stored.status().message(),
                     "): send the request again, with the pictures"),
        reasons::kPrototypeMissing);
  }
  OVDIFF_RETURN_IF_ERROR(stored.status());
  for (const SupportPicture& picture : stored->pictures) {
    OVDIFF_ASSIGN_OR_RETURN(pictures.emplace_back(),
                            SquashPicture(picture, side));
  }
  return pictures;
}

}  // namespace ovdiff::server
