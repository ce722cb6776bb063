#include "client/status.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"

namespace ovdiff::client {
namespace {

constexpr absl::string_view kRetryInfoUrl =
    "type.googleapis.com/google.rpc.RetryInfo";

absl::Duration ToDuration(const google::rpc::RetryInfo& info) {
  return absl::Seconds(info.retry_delay().seconds()) +
         absl::Nanoseconds(info.retry_delay().nanos());
}

std::string Joined(absl::string_view subject, absl::string_view description) {
  if (subject.empty()) {
    return std::string(description);
  }
  if (description.empty()) {
    return std::string(subject);
  }
  return absl::StrCat(subject, ": ", description);
}

// Lines of one detail. ErrorInfo is for programs; it stays a payload only.
void AppendLines(const google::protobuf::Any& detail,
                 std::vector<std::string>& lines) {
  google::rpc::BadRequest bad_request;
  google::rpc::PreconditionFailure precondition;
  google::rpc::QuotaFailure quota;
  google::rpc::ResourceInfo resource;
  google::rpc::RetryInfo retry;
  google::rpc::Help help;
  if (detail.UnpackTo(&bad_request)) {
    for (const auto& violation : bad_request.field_violations()) {
      lines.push_back(Joined(violation.field(), violation.description()));
    }
  } else if (detail.UnpackTo(&precondition)) {
    for (const auto& violation : precondition.violations()) {
      lines.push_back(Joined(violation.subject(), violation.description()));
    }
  } else if (detail.UnpackTo(&quota)) {
    for (const auto& violation : quota.violations()) {
      lines.push_back(Joined(violation.subject(), violation.description()));
    }
  } else if (detail.UnpackTo(&resource)) {
    lines.push_back(Joined(absl::StrCat(resource.resource_type(), " '",
                                        resource.resource_name(), "'"),
                           resource.description()));
  } else if (detail.UnpackTo(&retry)) {
    const double seconds = absl::ToDoubleSeconds(ToDuration(retry));
    lines.push_back(
        absl::StrCat("try again in ", std::ceil(seconds * 10) / 10, " s"));
  } else if (detail.UnpackTo(&help)) {
    for (const auto& link : help.links()) {
      lines.push_back(Joined(link.description(), link.url()));
    }
  }
}

}  // namespace

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  if (status.code() == 0) {
    return absl::OkStatus();
  }
  std::vector<std::string> lines;
  for (const google::protobuf::Any& detail : status.details()) {
    AppendLines(detail, lines);
  }
  std::string message = status.message();
  for (const std::string& line : lines) {
    if (!line.empty() && !absl::StrContains(message, line)) {
      absl::StrAppend(&message, "\n  ", line);
    }
  }
  absl::Status result(static_cast<absl::StatusCode>(status.code()), message);
  for (const google::protobuf::Any& detail : status.details()) {
    result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details())) {
    rpc.Clear();
  }
  // The status line is the truth; a proxy may have changed it.
  rpc.set_code(static_cast<int>(status.error_code()));
  rpc.set_message(status.error_message());
  return FromRpcStatus(rpc);
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryInfoUrl);
  google::rpc::RetryInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return ToDuration(info);
}

std::string Readable(const absl::Status& status) {
  return absl::StrCat(
      absl::StatusCodeToString(status.code()), ": ",
      status.message().empty() ? "(no message)" : status.message());
}

}  // namespace ovdiff::client
