// JsonObject: strict, typed access to one object of a JSON file that a person
// wrote. Torch-free.
#ifndef OVDIFF_ENGINE_BUNDLE_JSON_OBJECT_H_
#define OVDIFF_ENGINE_BUNDLE_JSON_OBJECT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {

// Reads fields one by one and remembers the first error, so that a parser is a
// list of fields and one Finish(). Every key that a call below has named is
// allowed; Finish() refuses all others and lists the allowed ones.
//
//   JsonObject object(json, "bundle.json: windows");
//   object.Required("stride", &stride);
//   object.Optional("short_side", &short_side);
//   return object.Finish();
//
// Thread-compatible. `json` must outlive the object.
class JsonObject {
 public:
  // `where` names the object in messages.
  JsonObject(const nlohmann::json& json, std::string where);

  // A field that must be there, or one that may be absent (then *out keeps its
  // value). An integer may not be written as 1.0; a number is any JSON number.
  template <typename T>
  void Required(const std::string& key, T* out) {
    if (const nlohmann::json* value = Find(key, /*required=*/true)) {
      Read(*value, key, out);
    }
  }
  template <typename T>
  void Optional(const std::string& key, T* out) {
    if (const nlohmann::json* value = Find(key, /*required=*/false)) {
      Read(*value, key, out);
    }
  }

  // The raw value of a field, or null if it is absent (an error when required)
  // or an earlier field was wrong.
  const nlohmann::json* Child(const std::string& key, bool required);

  // Adds an error about a field, unless there was one before.
  void Fail(const std::string& key, const std::string& message);
  // Takes over the error of a nested object.
  void Merge(const absl::Status& status);

  const std::string& where() const { return where_; }
  // kFailedPrecondition: the first error, or the keys that nobody asked for.
  absl::Status Finish() const;

 private:
  const nlohmann::json* Find(const std::string& key, bool required);
  void Read(const nlohmann::json& value, const std::string& key, bool* out);
  void Read(const nlohmann::json& value, const std::string& key, int* out);
  void Read(const nlohmann::json& value, const std::string& key, uint64_t* out);
  void Read(const nlohmann::json& value, const std::string& key, double* out);
  void Read(const nlohmann::json& value, const std::string& key,
            std::string* out);
  void Read(const nlohmann::json& value, const std::string& key,
            std::vector<int>* out);
  void Read(const nlohmann::json& value, const std::string& key,
            std::vector<double>* out);
  void Read(const nlohmann::json& value, const std::string& key,
            std::vector<std::string>* out);
  void Read(const nlohmann::json& value, const std::string& key,
            std::map<std::string, double>* out);
  template <typename T>
  void ReadArray(const nlohmann::json& value, const std::string& key,
                 std::vector<T>* out);

  const nlohmann::json& json_;
  const std::string where_;
  std::set<std::string> known_;
  absl::Status status_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_JSON_OBJECT_H_
