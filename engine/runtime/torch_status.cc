#include "engine/runtime/torch_status.h"

#include <exception>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "torch/torch.h"

namespace ovdiff::engine::internal {
namespace {

absl::Status NoMemory(absl::string_view what, absl::string_view detail) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no memory for ", what, ": ", detail,
                   "; use a smaller batch or picture, or a larger device"));
}

}  // namespace

absl::Status CatchTorch(absl::string_view what,
                        absl::FunctionRef<absl::Status()> call) {
  try {
    const c10::InferenceMode inference;
    return call();
  } catch (const c10::OutOfMemoryError& error) {
    return NoMemory(what, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    // The CPU allocator throws a plain c10::Error.
    if (absl::StrContains(message, "not enough memory") ||
        absl::StrContains(message, "can't allocate memory")) {
      return NoMemory(what, message);
    }
    return absl::InternalError(absl::StrCat(what, ": ", message));
  } catch (const std::bad_alloc& error) {
    return NoMemory(what, error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace ovdiff::engine::internal
