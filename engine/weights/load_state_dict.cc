#include "engine/weights/load_state_dict.h"

#include <cstddef>
#include <exception>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "re2/re2.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// A hostile file may hold 100,000 names; a message need not.
constexpr size_t kMaxNamesInMessage = 2000;

class Patterns {
 public:
  static absl::StatusOr<Patterns> Create(
      const std::vector<std::string>& patterns) {
    Patterns result;
    for (const std::string& pattern : patterns) {
      auto compiled = std::make_unique<RE2>(pattern, RE2::Quiet);
      if (!compiled->ok()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "bad key pattern '", pattern, "': ", compiled->error()));
      }
      result.compiled_.push_back(std::move(compiled));
    }
    return result;
  }

  bool Match(const std::string& name) const {
    for (const auto& pattern : compiled_) {
      if (RE2::FullMatch(name, *pattern)) {
        return true;
      }
    }
    return false;
  }

 private:
  std::vector<std::unique_ptr<RE2>> compiled_;
};

std::map<std::string, torch::Tensor> TensorsOf(
    const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> targets;
  for (const auto& item : module.named_parameters()) {
    targets.emplace(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    targets.emplace(item.key(), item.value());
  }
  return targets;
}

// [N, C] and [N, C, 1, 1] are the same layer, written as a linear one or as a
// 1x1 convolution (networks.md pitfall 19).
bool IsLinearOfConv(torch::IntArrayRef linear, torch::IntArrayRef conv) {
  return linear.size() == 2 && conv.size() == 4 && conv[2] == 1 &&
         conv[3] == 1 && linear[0] == conv[0] && linear[1] == conv[1];
}

bool ShapesAgree(torch::IntArrayRef a, torch::IntArrayRef b) {
  return a == b || IsLinearOfConv(a, b) || IsLinearOfConv(b, a);
}

std::string ShapeText(const torch::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// Empty when `found` can be copied into `target`.
std::string Mismatch(const torch::Tensor& target, const torch::Tensor& found) {
  if (!ShapesAgree(target.sizes(), found.sizes())) {
    return absl::StrCat("found ", ShapeText(found), ", needs ",
                        ShapeText(target));
  }
  // Integers in place of weights are a quantised checkpoint whose scales we
  // would silently drop.
  if (target.is_floating_point() != found.is_floating_point()) {
    return absl::StrCat("found dtype ", c10::toString(found.scalar_type()),
                        ", needs ", c10::toString(target.scalar_type()));
  }
  return "";
}

void AppendNames(const char* title, const std::vector<std::string>& names,
                 std::string* message) {
  if (names.empty()) {
    return;
  }
  const size_t shown = std::min(names.size(), kMaxNamesInMessage);
  absl::StrAppend(
      message, "; ", names.size(), " ", title, ": ",
      absl::StrJoin(names.begin(),
                    names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) {
    absl::StrAppend(message, " and ", names.size() - shown, " more");
  }
}

// Every name is looked at before the first copy.
absl::Status Compare(const std::map<std::string, torch::Tensor>& targets,
                     const StateDict& tensors,
                     const LoadStateDictOptions& options) {
  OVDIFF_ASSIGN_OR_RETURN(const Patterns ignore_unexpected,
                          Patterns::Create(options.ignore_unexpected));
  OVDIFF_ASSIGN_OR_RETURN(const Patterns ignore_missing,
                          Patterns::Create(options.ignore_missing));
  std::vector<std::string> missing, unexpected, misshapen;
  for (const auto& [name, target] : targets) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      if (!ignore_missing.Match(name)) {
        missing.push_back(name);
      }
      continue;
    }
    const std::string mismatch = Mismatch(target, found->second);
    if (!mismatch.empty()) {
      misshapen.push_back(absl::StrCat(name, " (", mismatch, ")"));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (targets.count(name) == 0 && !ignore_unexpected.Match(name)) {
      unexpected.push_back(name);
    }
  }
  if (missing.empty() && unexpected.empty() && misshapen.empty()) {
    return absl::OkStatus();
  }
  std::string message =
      absl::StrCat("the weights do not fit the ", options.what,
                   " that its configuration describes");
  AppendNames("missing", missing, &message);
  AppendNames("unexpected", unexpected, &message);
  AppendNames("misshapen", misshapen, &message);
  return absl::FailedPreconditionError(message);
}

}  // namespace

absl::Status LoadStateDict(torch::nn::Module& module, const StateDict& tensors,
                           const LoadStateDictOptions& options) {
  try {
    torch::NoGradGuard no_grad;
    const std::map<std::string, torch::Tensor> targets = TensorsOf(module);
    OVDIFF_RETURN_IF_ERROR(Compare(targets, tensors, options));
    for (const auto& [name, target] : targets) {
      const auto found = tensors.find(name);
      if (found != tensors.end()) {
        torch::Tensor(target).copy_(found->second.reshape(target.sizes()));
      }
    }
    for (torch::Tensor& parameter : module.parameters()) {
      parameter.requires_grad_(false);
    }
    module.eval();
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("cannot load the ", options.what, ": ", error.what()));
  }
}

}  // namespace ovdiff::engine
