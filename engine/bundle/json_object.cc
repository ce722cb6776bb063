#include "engine/bundle/json_object.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ovdiff::engine {

using nlohmann::json;

JsonObject::JsonObject(const json& json, std::string where)
    : json_(json), where_(std::move(where)) {
  if (!json_.is_object()) {
    status_ = absl::FailedPreconditionError(absl::StrCat(
        where_, " must be an object {…}, found ", json_.type_name()));
  }
}

const json* JsonObject::Find(const std::string& key, bool required) {
  known_.insert(key);
  if (!status_.ok()) {
    return nullptr;
  }
  const auto found = json_.find(key);
  if (found != json_.end()) {
    return &*found;
  }
  if (required) {
    Fail(key, "is missing");
  }
  return nullptr;
}

const json* JsonObject::Child(const std::string& key, bool required) {
  return Find(key, required);
}

void JsonObject::Fail(const std::string& key, const std::string& message) {
  if (status_.ok()) {
    status_ = absl::FailedPreconditionError(
        absl::StrCat(where_, ": \"", key, "\" ", message));
  }
}

void JsonObject::Merge(const absl::Status& status) {
  if (status_.ok()) {
    status_ = status;
  }
}

absl::Status JsonObject::Finish() const {
  if (!status_.ok()) {
    return status_;
  }
  std::vector<std::string> unknown;
  for (const auto& [key, value] : json_.items()) {
    if (!known_.contains(key)) {
      unknown.push_back(key);
    }
  }
  if (unknown.empty()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(where_, ": unknown key ", absl::StrJoin(unknown, ", "),
                   "; allowed are ", absl::StrJoin(known_, ", ")));
}

void JsonObject::Read(const json& value, const std::string& key, bool* out) {
  if (!value.is_boolean()) {
    Fail(key, absl::StrCat("must be true or false, found ", value.dump()));
    return;
  }
  *out = value.get<bool>();
}

void JsonObject::Read(const json& value, const std::string& key, int* out) {
  if (!value.is_number_integer() ||
      value.get<double>() > std::numeric_limits<int>::max() ||
      value.get<double>() < std::numeric_limits<int>::min()) {
    Fail(key, absl::StrCat("must be an integer, found ", value.dump()));
    return;
  }
  *out = value.get<int>();
}

void JsonObject::Read(const json& value, const std::string& key,
                      uint64_t* out) {
  if (!value.is_number_unsigned()) {
    Fail(key,
         absl::StrCat("must be an integer of 0 or more, found ", value.dump()));
    return;
  }
  *out = value.get<uint64_t>();
}

void JsonObject::Read(const json& value, const std::string& key, double* out) {
  if (!value.is_number()) {
    Fail(key, absl::StrCat("must be a number, found ", value.dump()));
    return;
  }
  *out = value.get<double>();
}

void JsonObject::Read(const json& value, const std::string& key,
                      std::string* out) {
  if (!value.is_string()) {
    Fail(key, absl::StrCat("must be a string, found ", value.dump()));
    return;
  }
  *out = value.get<std::string>();
}

template <typename T>
void JsonObject::ReadArray(const json& value, const std::string& key,
                           std::vector<T>* out) {
  if (!value.is_array()) {
    Fail(key, absl::StrCat("must be a list […], found ", value.dump()));
    return;
  }
  std::vector<T> items(value.size());
  for (size_t i = 0; i < items.size(); ++i) {
    Read(value[i], absl::StrCat(key, "[", i, "]"), &items[i]);
  }
  *out = std::move(items);
}

void JsonObject::Read(const json& value, const std::string& key,
                      std::vector<int>* out) {
  ReadArray(value, key, out);
}
void JsonObject::Read(const json& value, const std::string& key,
                      std::vector<double>* out) {
  ReadArray(value, key, out);
}
void JsonObject::Read(const json& value, const std::string& key,
                      std::vector<std::string>* out) {
  ReadArray(value, key, out);
}

void JsonObject::Read(const json& value, const std::string& key,
                      std::map<std::string, double>* out) {
  if (!value.is_object()) {
    Fail(key, absl::StrCat("must be an object {…}, found ", value.dump()));
    return;
  }
  std::map<std::string, double> items;
  for (const auto& [name, item] : value.items()) {
    Read(item, absl::StrCat(key, ".", name), &items[name]);
  }
  *out = std::move(items);
}

}  // namespace ovdiff::engine
