// CallTorch: the one place where torch's exceptions become absl::Status.
#ifndef OVDIFF_ENGINE_RUNTIME_TORCH_STATUS_H_
#define OVDIFF_ENGINE_RUNTIME_TORCH_STATUS_H_

#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::engine {

namespace internal {
// Runs `call` in inference mode and turns what it throws into a Status.
absl::Status CatchTorch(absl::string_view what,
                        absl::FunctionRef<absl::Status()> call);

template <typename T>
struct IsStatusOr : std::false_type {};
template <typename T>
struct IsStatusOr<absl::StatusOr<T>> : std::true_type {};
}  // namespace internal

// Runs `call` in torch's inference mode on this thread. `what` says in messages
// what was being done ("unet step"). Returns
//   absl::Status            for a `call` that returns nothing or a Status
//   absl::StatusOr<T>       for one that returns T or StatusOr<T>
// and in place of an exception
//   kResourceExhausted      no memory, on the device or the host
//   kInternal               any other
template <typename Call>
auto CallTorch(absl::string_view what, Call&& call) {
  using Result = std::invoke_result_t<Call>;
  if constexpr (std::is_void_v<Result>) {
    return internal::CatchTorch(what, [&] {
      call();
      return absl::OkStatus();
    });
  } else if constexpr (std::is_same_v<Result, absl::Status>) {
    return internal::CatchTorch(what, [&] { return call(); });
  } else {
    using Wrapped = std::conditional_t<internal::IsStatusOr<Result>::value,
                                       Result, absl::StatusOr<Result>>;
    Wrapped result = absl::UnknownError("not run");
    const absl::Status status = internal::CatchTorch(what, [&] {
      result = call();
      return absl::OkStatus();
    });
    if (!status.ok()) {
      result = status;
    }
    return result;
  }
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNTIME_TORCH_STATUS_H_
