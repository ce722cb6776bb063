#include "server/call_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {

CallRecord::CallRecord(Metrics& metrics, const MethodInfo& method,
                       std::string peer)
    : metrics_(metrics), method_(method), start_time_(absl::Now()) {
  fields_["method"] = absl::StrCat(method.service, "/", method.method);
  fields_["peer"] = std::move(peer);
  metrics_.RpcStarted(method_);
}

void CallRecord::End(const absl::Status& status) {
  const absl::Duration duration = absl::Now() - start_time_;
  metrics_.RpcHandled(method_, status.code(), duration);
  fields_["code"] = CodeName(status.code());
  fields_["seconds"] = absl::ToDoubleSeconds(duration);
  if (!status.ok()) {
    const std::string reason = ReasonOf(status);
    fields_["reason"] = reason;
    fields_["error"] = std::string(status.message().substr(0, 2000));
    if (status.code() == absl::StatusCode::kUnavailable) {
      metrics_.Rejected(reason.empty() ? reasons::kStoreUnavailable : reason);
    }
  }
  Log(IsServerFault(status.code()) ? LogLevel::kError : LogLevel::kInfo, "rpc",
      fields_);
}

bool IsServerFault(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal ||
         code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss ||
         code == absl::StatusCode::kUnimplemented;
}

}  // namespace ovdiff::server
