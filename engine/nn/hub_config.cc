#include "engine/nn/hub_config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {

using Json = nlohmann::json;

struct HubConfig::State {
  std::string what;
  Json json;
  std::vector<std::string> errors;

  // Null where the key is missing or null.
  const Json* Find(const std::string& key) const {
    auto it = json.find(key);
    return it == json.end() || it->is_null() ? nullptr : &*it;
  }
};

namespace {

std::string Range(const char* kind, double min, double max) {
  return absl::StrCat(kind, " from ", min, " to ", max);
}

bool IsIntIn(const Json& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return false;
  // An unsigned beyond int64 would wrap.
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
    return false;
  }
  const int64_t number = value.get<int64_t>();
  return number >= min && number <= max;
}

// Cuts long values, so that a message stays readable.
std::string Shown(const Json& value) {
  constexpr size_t kMaxShown = 120;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

bool IsAnyOf(const Json& value, std::initializer_list<const char*> allowed) {
  return value.is_string() &&
         std::any_of(allowed.begin(), allowed.end(), [&](const char* name) {
           return value.get_ref<const std::string&>() == name;
         });
}

}  // namespace

std::string JsonFromPython(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (!in_string) {
      std::string_view found;
      for (std::string_view token : {"-Infinity", "Infinity", "NaN"}) {
        if (found.empty() && rest.starts_with(token)) found = token;
      }
      if (!found.empty()) {
        out += "null";
        i += found.size() - 1;
        continue;
      }
    }
    if (text[i] == '"') in_string = !in_string;
    out += text[i];
    if (in_string && text[i] == '\\' && i + 1 < text.size()) out += text[++i];
  }
  return out;
}

HubConfig::HubConfig(std::unique_ptr<State> state) : state_(std::move(state)) {}
HubConfig::HubConfig(HubConfig&&) noexcept = default;
HubConfig& HubConfig::operator=(HubConfig&&) noexcept = default;
HubConfig::~HubConfig() = default;

absl::StatusOr<HubConfig> HubConfig::Parse(std::string_view text,
                                           std::string what) {
  Json json = Json::parse(JsonFromPython(text), /*cb=*/nullptr,
                          /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, ": not a JSON object; is the file complete and of this model?"));
  }
  auto state = std::make_unique<State>();
  state->what = std::move(what);
  state->json = std::move(json);
  return HubConfig(std::move(state));
}

bool HubConfig::Has(const std::string& key) const {
  return state_->Find(key) != nullptr;
}

void HubConfig::Refuse(const std::string& key, const std::string& allowed) {
  const Json* value = state_->Find(key);
  state_->errors.push_back(absl::StrCat("\"", key, "\" is ",
                                        value ? Shown(*value) : "missing",
                                        ", allowed is ", allowed));
}

int64_t HubConfig::Int(const std::string& key, int64_t otherwise, int64_t min,
                       int64_t max) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return otherwise;
  if (IsIntIn(*value, min, max)) return value->get<int64_t>();
  Refuse(key, Range("an integer", min, max));
  return otherwise;
}

double HubConfig::Number(const std::string& key, double otherwise, double min,
                         double max) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_number()) {
    const double number = value->get<double>();
    if (number >= min && number <= max) return number;
  }
  Refuse(key, Range("a number", min, max));
  return otherwise;
}

bool HubConfig::Bool(const std::string& key, bool otherwise) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  Refuse(key, "true or false");
  return otherwise;
}

std::string HubConfig::OneOf(const std::string& key,
                             const std::string& otherwise,
                             std::initializer_list<const char*> allowed) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return otherwise;
  if (IsAnyOf(*value, allowed)) return value->get<std::string>();
  Refuse(key, absl::StrCat("one of ", absl::StrJoin(allowed, ", ")));
  return otherwise;
}

std::vector<int64_t> HubConfig::Ints(const std::string& key,
                                     std::vector<int64_t> otherwise,
                                     int64_t min, int64_t max) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_array() && !value->empty() &&
      std::all_of(value->begin(), value->end(), [&](const Json& entry) {
        return IsIntIn(entry, min, max);
      })) {
    return value->get<std::vector<int64_t>>();
  }
  Refuse(key, Range("a list of integers, each", min, max));
  return otherwise;
}

std::vector<int64_t> HubConfig::IntOrInts(const std::string& key,
                                          int64_t otherwise, size_t size,
                                          int64_t min, int64_t max) {
  const Json* value = state_->Find(key);
  if (value == nullptr || !value->is_array()) {
    return std::vector<int64_t>(size, Int(key, otherwise, min, max));
  }
  std::vector<int64_t> entries = Ints(key, {}, min, max);
  if (entries.size() == size) return entries;
  Refuse(key, absl::StrCat("one integer or a list of ", size));
  return std::vector<int64_t>(size, otherwise);
}

std::vector<double> HubConfig::Numbers(const std::string& key) {
  const Json* value = state_->Find(key);
  if (value == nullptr) return {};
  if (value->is_array() &&
      std::all_of(value->begin(), value->end(),
                  [](const Json& entry) { return entry.is_number(); })) {
    return value->get<std::vector<double>>();
  }
  Refuse(key, "a list of numbers");
  return {};
}

std::vector<std::string> HubConfig::Names(
    const std::string& key, std::vector<std::string> otherwise, size_t size,
    std::initializer_list<const char*> allowed) {
  const Json* value = state_->Find(key);
  if (value == nullptr && otherwise.size() == size) return otherwise;
  if (value != nullptr && value->is_array() && value->size() == size &&
      std::all_of(value->begin(), value->end(),
                  [&](const Json& entry) { return IsAnyOf(entry, allowed); })) {
    return value->get<std::vector<std::string>>();
  }
  Refuse(key, absl::StrCat("a list of ", size, ", each one of ",
                           absl::StrJoin(allowed, ", ")));
  return std::vector<std::string>(size, *allowed.begin());
}

void HubConfig::Only(const std::string& key, std::string_view only) {
  const Json* value = state_->Find(key);
  if (value == nullptr || *value == Json::parse(only)) return;
  Refuse(key, absl::StrCat("only ", std::string(only)));
}

void HubConfig::NotNull(const std::string& key) {
  auto it = state_->json.find(key);
  if (it == state_->json.end() || !it->is_null()) return;
  state_->errors.push_back(
      absl::StrCat("\"", key, "\" is null, which is not implemented"));
}

absl::Status HubConfig::status() const {
  if (state_->errors.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(state_->what, ": ", absl::StrJoin(state_->errors, "; ")));
}

}  // namespace ovdiff::engine
