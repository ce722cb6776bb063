// Support pictures between the store's records and the engine's sets.
#ifndef OVDIFF_SERVER_SUPPORT_RECORDS_H_
#define OVDIFF_SERVER_SUPPORT_RECORDS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/support_set.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// All pictures that a class's prototypes are made of.
struct ClassPictures {
  SupportSet own;  // They show the class.
  // Each set shows one thing that it is not.
  std::vector<SupportSet> negatives;
};

// Lossless, without a side. kInternal if the encoder fails.
absl::StatusOr<store::SupportPictureRecord> EncodeSupportPicture(
    const SupportPicture& picture);
// `record.pictures` of all pictures, the class's own first.
absl::StatusOr<std::vector<store::SupportPictureRecord>> EncodeClassPictures(
    const ClassPictures& pictures);

// The pictures of a stored support set in its order, those of negatives among
// them: source pictures of prototypes are indices into it. kInvalidArgument.
absl::StatusOr<SupportSet> DecodeSupportSet(const store::SupportRecord& record,
                                            const Limits& limits);
// The same, taken apart.
absl::StatusOr<ClassPictures> DecodeClassPictures(
    const store::SupportRecord& record, const Limits& limits);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SUPPORT_RECORDS_H_
