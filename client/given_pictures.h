// Pictures of a class from disk into a request.
#ifndef OVDIFF_CLIENT_GIVEN_PICTURES_H_
#define OVDIFF_CLIENT_GIVEN_PICTURES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::client {

struct GivenFile {
  std::string path;
  v1::GivenPicture picture;
};

// The picture file `path`, or every picture of the folder `path` by name (not
// of folders in it). A file photo.mask.png beside photo.jpg is that one's mask.
// NOT_FOUND, or INVALID_ARGUMENT for a folder without a picture, a mask without
// its picture, a file of more than `max_bytes`; messages name the path.
absl::StatusOr<std::vector<GivenFile>> ReadGivenPictures(
    const std::string& path, int64_t max_bytes);

// What each class of a request is shown by, as a command line says it: "VALUE",
// or "NAME=VALUE" where there are several classes.
struct ClassSpecFlags {
  std::vector<std::string> synonyms;
  std::vector<std::string> given;  // Paths for ReadGivenPictures().
  bool only_given = false;
  std::vector<std::string> negatives;
  std::vector<std::string> negative_pictures;  // Paths likewise.

  bool HasPictures() const {
    return !given.empty() || !negative_pictures.empty();
  }
};

// Paths of a class's given pictures by its name, in the request's order.
using GivenPaths = std::map<std::string, std::vector<std::string>>;

// Adds what `flags` says to the classes of `request`, and to `paths` where each
// given picture comes from. INVALID_ARGUMENT for a value that names no class of
// several, or if the request would have more than `max_bytes`; errors of files
// as above.
absl::Status FillClassSpecs(const ClassSpecFlags& flags, int64_t max_bytes,
                            v1::AddClassesRequest* request, GivenPaths* paths);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_GIVEN_PICTURES_H_
