#include "engine/runners/load_network.h"

#include "absl/strings/str_cat.h"

namespace ovdiff::engine {

absl::Status InFile(const std::string& path, const absl::Status& status) {
  const absl::StatusCode code =
      status.code() == absl::StatusCode::kInvalidArgument
          ? absl::StatusCode::kFailedPrecondition
          : status.code();
  return absl::Status(code, absl::StrCat(path, ": ", status.message()));
}

absl::Status LoadWeights(const NetworkFiles& files,
                         torch::nn::Module& network) {
  OVDIFF_ASSIGN_OR_RETURN(StateDict tensors,
                          ReadHubWeights(files.folder, files.stem));
  if (files.rename != nullptr) {
    auto renamed = files.rename(std::move(tensors));
    if (!renamed.ok()) {
      return InFile(files.folder, renamed.status());
    }
    tensors = *std::move(renamed);
  }
  const absl::Status loaded = LoadStateDict(network, tensors,
                                            {.what = files.what,
                                             .ignore_unexpected = files.ignore,
                                             .ignore_missing = {}});
  return loaded.ok() ? loaded : InFile(files.folder, loaded);
}

}  // namespace ovdiff::engine
