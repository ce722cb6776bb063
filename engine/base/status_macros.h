// OVDIFF_RETURN_IF_ERROR and OVDIFF_ASSIGN_OR_RETURN, until the Abseil that
// Debian ships has its own.
#ifndef OVDIFF_ENGINE_BASE_STATUS_MACROS_H_
#define OVDIFF_ENGINE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define OVDIFF_RETURN_IF_ERROR(expr)        \
  do {                                      \
    ::absl::Status ovdiff_status_ = (expr); \
    if (!ovdiff_status_.ok()) {             \
      return ovdiff_status_;                \
    }                                       \
  } while (false)

#define OVDIFF_CONCAT_INNER_(a, b) a##b
#define OVDIFF_CONCAT_(a, b) OVDIFF_CONCAT_INNER_(a, b)

#define OVDIFF_ASSIGN_OR_RETURN(lhs, expr) \
  OVDIFF_ASSIGN_OR_RETURN_IMPL_(OVDIFF_CONCAT_(ovdiff_or_, __LINE__), lhs, expr)

#define OVDIFF_ASSIGN_OR_RETURN_IMPL_(var, lhs, expr) \
  auto var = (expr);                                  \
  if (!var.ok()) {                                    \
    return std::move(var).status();                   \
  }                                                   \
  lhs = *std::move(var)

#endif  // OVDIFF_ENGINE_BASE_STATUS_MACROS_H_
