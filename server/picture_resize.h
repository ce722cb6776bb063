// Given pictures and their masks at other sizes.
#ifndef OVDIFF_SERVER_PICTURE_RESIZE_H_
#define OVDIFF_SERVER_PICTURE_RESIZE_H_

#include "absl/status/statusor.h"
#include "engine/base/support_set.h"
#include "server/image_codec.h"

namespace ovdiff::server {

// Image and mask, if any, at side x side pixels, whatever their shape: means of
// areas where they shrink, bilinear where they grow. A pixel of the mask is
// object when half of it is; if that is none, when any of it is. Without
// attribution, which would have another grid. kResourceExhausted, kInternal.
absl::StatusOr<SupportPicture> SquashPicture(const SupportPicture& picture,
                                             int side);

// The same with sides of at most `max_side`, its shape kept; a picture that has
// such sides stays as it is.
absl::StatusOr<SupportPicture> ShrinkPicture(const SupportPicture& picture,
                                             int max_side);

// A mask at width x height pixels, whatever its shape, by the same rule.
// kResourceExhausted, kInternal.
absl::StatusOr<Mask> StretchMask(const Mask& mask, int width, int height);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PICTURE_RESIZE_H_
