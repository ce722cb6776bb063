#include "client/given_pictures.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/image_io.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

constexpr char kMaskEnd[] = ".mask.png";

bool IsMask(const fs::path& path) {
  return absl::EndsWithIgnoreCase(path.filename().string(), kMaskEnd);
}

bool IsPicture(const fs::path& path) {
  static const auto* const kEndings =
      new std::set<std::string>{".jpg", ".jpeg", ".png", ".webp", ".bmp",
                                ".tif", ".tiff", ".pnm", ".ppm",  ".pgm"};
  return !IsMask(path) &&
         kEndings->count(absl::AsciiStrToLower(path.extension().string())) > 0;
}

fs::path MaskOf(const fs::path& picture) {
  return picture.parent_path() / (picture.stem().string() + kMaskEnd);
}

// The pictures of a folder, by name.
absl::StatusOr<std::vector<fs::path>> ListFolder(const fs::path& folder) {
  std::vector<fs::path> pictures;
  std::set<fs::path> masks;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (IsMask(it->path())) {
      masks.insert(it->path());
    } else if (IsPicture(it->path())) {
      pictures.push_back(it->path());
    }
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(folder.string(), ": ", error.message()));
  }
  std::sort(pictures.begin(), pictures.end());
  for (const fs::path& picture : pictures) {
    masks.erase(MaskOf(picture));
  }
  if (!masks.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(masks.begin()->string(),
                     " is the mask of no picture: beside it there must be one "
                     "of the same name with .jpg, .png, … in place of ",
                     kMaskEnd));
  }
  if (pictures.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder.string(),
        " has no picture; JPEG, PNG, WebP, BMP, TIFF and PNM are known"));
  }
  return pictures;
}

absl::StatusOr<v1::GivenPicture> ReadPicture(const fs::path& path,
                                             int64_t max_bytes) {
  v1::GivenPicture picture;
  auto bytes = ReadFileBytes(path.string(), max_bytes);
  if (!bytes.ok()) {
    return bytes.status();
  }
  picture.mutable_image()->set_encoded(*std::move(bytes));
  std::error_code error;
  if (fs::exists(MaskOf(path), error)) {
    auto mask = ReadFileBytes(MaskOf(path).string(), max_bytes);
    if (!mask.ok()) {
      return mask.status();
    }
    picture.set_mask(*std::move(mask));
  }
  return picture;
}

// The class that `text` is for, and what it says: "VALUE" of the only class,
// or "NAME=VALUE". A name may have '=' itself.
absl::StatusOr<std::pair<v1::ClassSpec*, std::string>> SplitForClass(
    const std::string& text, v1::AddClassesRequest* request) {
  v1::ClassSpec* found = nullptr;
  size_t length = 0;
  for (v1::ClassSpec& spec : *request->mutable_classes()) {
    if (absl::StartsWith(text, spec.name() + "=") &&
        spec.name().size() + 1 > length) {
      found = &spec;
      length = spec.name().size() + 1;
    }
  }
  if (found == nullptr && request->classes_size() == 1) {
    found = request->mutable_classes(0);
  }
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" does not say for which of the ",
        request->classes_size(), " classes it is: write \"",
        request->classes_size() > 0 ? request->classes(0).name() : "NAME",
        "=…\", or the name of another"));
  }
  return std::pair(found, text.substr(length));
}

absl::Status ForEachValue(
    const std::vector<std::string>& texts, v1::AddClassesRequest* request,
    const std::function<absl::Status(v1::ClassSpec&, const std::string&)>&
        add) {
  for (const std::string& text : texts) {
    const auto value = SplitForClass(text, request);
    if (!value.ok()) {
      return value.status();
    }
    const absl::Status status = add(*value->first, value->second);
    if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<GivenFile>> ReadGivenPictures(
    const std::string& path, int64_t max_bytes) {
  std::vector<fs::path> files = {path};
  std::error_code error;
  if (fs::is_directory(path, error)) {
    auto listed = ListFolder(path);
    if (!listed.ok()) {
      return listed.status();
    }
    files = *std::move(listed);
  } else if (IsMask(path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " is a mask; name the picture that it belongs to, and it comes "
        "along"));
  }
  std::vector<GivenFile> pictures;
  for (const fs::path& file : files) {
    auto picture = ReadPicture(file, max_bytes);
    if (!picture.ok()) {
      return picture.status();
    }
    pictures.push_back({file.string(), *std::move(picture)});
  }
  return pictures;
}

absl::Status FillClassSpecs(const ClassSpecFlags& flags, int64_t max_bytes,
                            v1::AddClassesRequest* request, GivenPaths* paths) {
  absl::Status status = ForEachValue(
      flags.synonyms, request, [](v1::ClassSpec& spec, const std::string& one) {
        spec.add_synonyms(one);
        return absl::OkStatus();
      });
  status.Update(ForEachValue(
      flags.given, request, [&](v1::ClassSpec& spec, const std::string& path) {
        auto pictures = ReadGivenPictures(path, max_bytes);
        if (pictures.ok()) {
          for (GivenFile& file : *pictures) {
            *spec.add_pictures() = std::move(file.picture);
            (*paths)[spec.name()].push_back(std::move(file.path));
          }
        }
        return pictures.status();
      }));
  status.Update(
      ForEachValue(flags.negatives, request,
                   [](v1::ClassSpec& spec, const std::string& prompt) {
                     spec.add_negatives()->set_prompt(prompt);
                     return absl::OkStatus();
                   }));
  status.Update(ForEachValue(flags.negative_pictures, request,
                             [&](v1::ClassSpec& spec, const std::string& path) {
                               auto pictures =
                                   ReadGivenPictures(path, max_bytes);
                               if (pictures.ok()) {
                                 for (GivenFile& file : *pictures) {
                                   *spec.add_negatives()->mutable_picture() =
                                       std::move(file.picture);
                                 }
                               }
                               return pictures.status();
                             }));
  if (!status.ok()) {
    return status;
  }
  for (v1::ClassSpec& spec : *request->mutable_classes()) {
    spec.set_only_given_pictures(flags.only_given);
  }
  const auto bytes = static_cast<int64_t>(request->ByteSizeLong());
  if (flags.HasPictures() && bytes > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request has ", bytes,
                     " bytes with its pictures; the server takes ", max_bytes,
                     ": shrink the pictures, or add the classes one by one"));
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::client
