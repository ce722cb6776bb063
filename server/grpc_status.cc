#include "server/grpc_status.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "google/rpc/error_details.pb.h"
#include "re2/re2.h"
#include "server/error_reasons.h"

namespace ovdiff::server {
namespace {

// Status messages travel in HTTP/2 trailers, whose size proxies limit (8 KiB is
// usual); TensorFlow Serving cuts at the same length.
constexpr size_t kMaxMessageBytes = 1024;
constexpr char kTypePrefix[] = "type.googleapis.com/";

template <typename Detail>
std::string TypeUrl() {
  return absl::StrCat(kTypePrefix, Detail::descriptor()->full_name());
}

template <typename Detail>
void SetDetail(absl::Status& status, const Detail& detail) {
  status.SetPayload(TypeUrl<Detail>(), absl::Cord(detail.SerializeAsString()));
}

template <typename Detail>
std::optional<Detail> GetDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl<Detail>());
  Detail detail;
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return detail;
}

// What an error that nobody gave a reason is called.
absl::string_view DefaultReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return reasons::kInvalidField;
    case absl::StatusCode::kCancelled:
      return reasons::kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return reasons::kDeadlineExceeded;
    case absl::StatusCode::kResourceExhausted:
      return reasons::kResourceExhausted;
    case absl::StatusCode::kUnavailable:
      return reasons::kStoreUnavailable;
    case absl::StatusCode::kDataLoss:
      return reasons::kPrototypeDamaged;
    default:
      return reasons::kInternal;
  }
}

std::string PublicMessage(absl::string_view message) {
  static const RE2* const kPath =
      new RE2(R"re((^|[\s'"`=(:\[])(?:/[^\s/'"`():,;\]]+){2,}/?)re");
  std::string text(message);
  RE2::GlobalReplace(&text, *kPath, "\\1<path>");
  if (text.size() > kMaxMessageBytes) {
    constexpr char kEllipsis[] = "...";
    size_t size = kMaxMessageBytes - (sizeof(kEllipsis) - 1);
    // Bytes 10xxxxxx continue a character.
    while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) {
      --size;
    }
    text.resize(size);
    text += kEllipsis;
  }
  return text;
}

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view message,
                        absl::string_view reason) {
  return WithField(absl::InvalidArgumentError(message), field, reason);
}

absl::Status WithField(absl::Status status, absl::string_view field,
                       absl::string_view reason) {
  if (status.code() != absl::StatusCode::kInvalidArgument ||
      GetDetail<google::rpc::BadRequest>(status).has_value()) {
    return status;
  }
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(PublicMessage(status.message()));
  SetDetail(status, bad_request);
  return WithReason(std::move(status), reason, {{"field", std::string(field)}});
}

absl::Status ResourceError(absl::StatusCode code, absl::string_view type,
                           absl::string_view name, absl::string_view message,
                           absl::string_view reason) {
  absl::Status status(code, message);
  google::rpc::ResourceInfo info;
  info.set_resource_type(std::string(type));
  info.set_resource_name(std::string(name));
  SetDetail(status, info);
  return WithReason(std::move(status), reason,
                    {{"resource", std::string(name)}});
}

absl::Status PreconditionError(absl::string_view subject,
                               absl::string_view message,
                               absl::string_view reason) {
  absl::Status status = absl::FailedPreconditionError(message);
  google::rpc::PreconditionFailure failure;
  auto* violation = failure.add_violations();
  violation->set_type(std::string(reason));
  violation->set_subject(std::string(subject));
  violation->set_description(PublicMessage(message));
  SetDetail(status, failure);
  return WithReason(std::move(status), reason,
                    {{"subject", std::string(subject)}});
}

absl::Status OverloadError(absl::string_view message, absl::string_view reason,
                           absl::Duration retry_after) {
  absl::Status status = absl::UnavailableError(message);
  google::rpc::RetryInfo info;
  *info.mutable_retry_delay() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(
          absl::ToInt64Milliseconds(retry_after));
  SetDetail(status, info);
  return WithReason(std::move(status), reason);
}

absl::Status WithReason(absl::Status status, absl::string_view reason,
                        const ErrorMetadata& metadata) {
  if (status.ok()) {
    return status;
  }
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(reasons::kDomain);
  for (const auto& [key, value] : metadata) {
    (*info.mutable_metadata())[key] = value;
  }
  SetDetail(status, info);
  return status;
}

absl::Status WithPrefix(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) {
    return status;
  }
  absl::Status prefixed(status.code(),
                        absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload(
      [&prefixed](absl::string_view type_url, const absl::Cord& payload) {
        prefixed.SetPayload(type_url, payload);
      });
  return prefixed;
}

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetDetail<google::rpc::ErrorInfo>(status);
  return info.has_value() ? info->reason() : std::string();
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.code()));
  if (status.ok()) {
    return out;
  }
  const absl::Status with_reason =
      ReasonOf(status).empty()
          ? WithReason(status, DefaultReason(status.code()))
          : status;
  out.set_message(PublicMessage(status.message()));
  std::vector<std::pair<std::string, std::string>> details;
  with_reason.ForEachPayload(
      [&details](absl::string_view type_url, const absl::Cord& payload) {
        details.emplace_back(std::string(type_url), std::string(payload));
      });
  // Payload order is unspecified; a reply's is not.
  std::sort(details.begin(), details.end());
  for (auto& [type_url, value] : details) {
    auto* any = out.add_details();
    any->set_type_url(std::move(type_url));
    any->set_value(std::move(value));
  }
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const google::rpc::Status rpc_status = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(rpc_status.code()),
                      rpc_status.message(), rpc_status.SerializeAsString());
}

std::string CodeName(absl::StatusCode code) {
  return absl::StatusCodeToString(code);
}

}  // namespace ovdiff::server
