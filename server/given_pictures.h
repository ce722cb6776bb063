// Callers' pictures of classes: from a request into the store, where they wait
// for their job, and out of it.
#ifndef OVDIFF_SERVER_GIVEN_PICTURES_H_
#define OVDIFF_SERVER_GIVEN_PICTURES_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/support_set.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// All given pictures of a request together may have this many times
// Limits::max_image_pixels: what is decoded before a job is accepted is
// bounded.
inline constexpr int kMaxGivenPixelsFactor = 16;

// Decodes and checks each given picture and mask of `request`, one at a time,
// and returns the request with digested specs (prompt_spec.h). kInvalidArgument
// naming the field for what cannot be decoded, a mask that has not its
// picture's size or no object pixel, a picture twice in a class, too many
// pixels.
absl::StatusOr<v1::AddClassesRequest> DigestGivenPictures(
    const v1::AddClassesRequest& request, const Limits& limits);

// Where the pictures of a digested spec are kept: those of the class, then
// those of its negatives. The key follows from the pictures alone.
store::ContentKey GivenPicturesKey(const v1::ClassSpec& digested);

// Makes the pictures of `spec`, whose digested form is `digested`, durable,
// shrunk to at most 1024 pixels a side. Nothing happens if there are none.
absl::Status StoreGivenPictures(const v1::ClassSpec& spec,
                                const v1::ClassSpec& digested,
                                const Limits& limits,
                                store::PrototypeStore& store);

// What StoreGivenPictures() stored, squashed to `side` x `side` pixels, without
// attribution. kFailedPrecondition if it is gone or damaged: says what to do.
absl::StatusOr<std::vector<SupportPicture>> LoadGivenPictures(
    const v1::ClassSpec& digested, int side, const Limits& limits,
    const store::PrototypeStore& store);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_GIVEN_PICTURES_H_
