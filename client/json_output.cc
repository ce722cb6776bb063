#include "client/json_output.h"

#include <map>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/rpc/status.pb.h"

namespace ovdiff::client {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "succeeded" for JOB_STATE_SUCCEEDED of JobState: buf's style has the enum's
// name in every value.
std::string ShortName(const EnumValueDescriptor& value) {
  std::string prefix;
  for (char letter : value.type()->name()) {
    if (absl::ascii_isupper(letter) && !prefix.empty()) {
      prefix += '_';
    }
    prefix += absl::ascii_toupper(letter);
  }
  return absl::AsciiStrToLower(
      absl::StripPrefix(value.name(), absl::StrCat(prefix, "_")));
}

std::string ColourCode(int32_t colour) {
  return absl::StrFormat("#%06x", colour & 0xffffff);
}

Json MessageValue(const Message& message) {
  if (message.GetDescriptor() == google::protobuf::Timestamp::descriptor()) {
    const auto& time = static_cast<const google::protobuf::Timestamp&>(message);
    return absl::FormatTime(
        absl::RFC3339_full,
        absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
        absl::UTCTimeZone());
  }
  if (message.GetDescriptor() == google::rpc::Status::descriptor()) {
    return ErrorJson(
        FromRpcStatus(static_cast<const google::rpc::Status&>(message)));
  }
  return ToJson(message);
}

// index -1: a singular field.
Json Value(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool many = index >= 0;
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const int32_t value =
          many ? reflection.GetRepeatedInt32(message, &field, index)
               : reflection.GetInt32(message, &field);
      return field.name() == "colour" ? Json(ColourCode(value)) : Json(value);
    }
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? reflection.GetRepeatedInt64(message, &field, index)
                  : reflection.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? reflection.GetRepeatedUInt32(message, &field, index)
                  : reflection.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? reflection.GetRepeatedUInt64(message, &field, index)
                  : reflection.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return many ? reflection.GetRepeatedDouble(message, &field, index)
                  : reflection.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return many ? reflection.GetRepeatedFloat(message, &field, index)
                  : reflection.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return many ? reflection.GetRepeatedBool(message, &field, index)
                  : reflection.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return ShortName(many
                           ? *reflection.GetRepeatedEnum(message, &field, index)
                           : *reflection.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return many ? reflection.GetRepeatedStringReference(message, &field,
                                                          index, &scratch)
                  : reflection.GetStringReference(message, &field, &scratch);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageValue(
          many ? reflection.GetRepeatedMessage(message, &field, index)
               : reflection.GetMessage(message, &field));
  }
  return nullptr;
}

// A map<string, …>, by its keys' order.
Json MapValue(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::map<std::string, Json> entries;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const auto& descriptor = *entry.GetDescriptor();
    entries[Value(entry, *descriptor.map_key(), -1).get<std::string>()] =
        Value(entry, *descriptor.map_value(), -1);
  }
  Json json = Json::object();
  for (auto& [key, value] : entries) {
    json[key] = std::move(value);
  }
  return json;
}

}  // namespace

Json ToJson(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  Json json = Json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.type() == FieldDescriptor::TYPE_BYTES) {
      continue;
    }
    if (field.is_map()) {
      json[field.name()] = MapValue(message, field);
    } else if (field.is_repeated()) {
      Json& values = json[field.name()] = Json::array();
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        values.push_back(Value(message, field, k));
      }
    } else if (!field.has_presence() || reflection.HasField(message, &field)) {
      json[field.name()] = Value(message, field, -1);
    }
  }
  return json;
}

Json ErrorJson(const absl::Status& status) {
  Json json = {{"code", absl::StatusCodeToString(status.code())},
               {"message", std::string(status.message())}};
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    json["retry_after_seconds"] = absl::ToDoubleSeconds(*delay);
  }
  return json;
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ovdiff::client
