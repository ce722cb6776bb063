// HubConfig: typed reading of a hub model's config.json, one key at a time.
//
// Rules (networks.md 1.2): unknown keys are ignored, missing or null ones take
// the given default, and a value outside what is implemented is refused with
// its key, what was found and what is allowed. Every getter returns a usable
// value; after the last one, status() tells all that was wrong.
#ifndef OVDIFF_ENGINE_NN_HUB_CONFIG_H_
#define OVDIFF_ENGINE_NN_HUB_CONFIG_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ovdiff::engine {

// Python's json writes -Infinity (diffusers' DPM-Solver configs hold one),
// Infinity and NaN, which are not JSON: `text` with null in their place.
std::string JsonFromPython(std::string_view text);

// Thread-compatible.
class HubConfig {
 public:
  // `what` names the file in messages ("unet/config.json"). Fails with
  // kFailedPrecondition if `text` is not one JSON object. Python's -Infinity,
  // Infinity and NaN count as null.
  static absl::StatusOr<HubConfig> Parse(std::string_view text,
                                         std::string what);
  HubConfig(HubConfig&&) noexcept;
  HubConfig& operator=(HubConfig&&) noexcept;
  ~HubConfig();

  bool Has(const std::string& key) const;  // present and not null

  int64_t Int(const std::string& key, int64_t otherwise, int64_t min,
              int64_t max);
  double Number(const std::string& key, double otherwise, double min,
                double max);
  bool Bool(const std::string& key, bool otherwise);
  // The value must be one of `allowed`.
  std::string OneOf(const std::string& key, const std::string& otherwise,
                    std::initializer_list<const char*> allowed);
  std::vector<int64_t> Ints(const std::string& key,
                            std::vector<int64_t> otherwise, int64_t min,
                            int64_t max);
  // An integer, which then counts for all `size` entries, or a list of `size`.
  std::vector<int64_t> IntOrInts(const std::string& key, int64_t otherwise,
                                 size_t size, int64_t min, int64_t max);
  std::vector<double> Numbers(const std::string& key);  // empty if missing
  // A list of `size` strings, each one of `allowed`.
  std::vector<std::string> Names(const std::string& key,
                                 std::vector<std::string> otherwise,
                                 size_t size,
                                 std::initializer_list<const char*> allowed);
  // The key must be missing, null or equal to `only` (JSON text such as
  // "false", "1.0", "\"default\""): anything else is not implemented.
  void Only(const std::string& key, std::string_view only);

  // The key may be missing but not null, where null means something else than
  // the default.
  void NotNull(const std::string& key);

  // Adds an error of the caller's own about `key`.
  void Refuse(const std::string& key, const std::string& allowed);

  // OK, or kFailedPrecondition with every refused key in one message.
  absl::Status status() const;

 private:
  struct State;
  explicit HubConfig(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_NN_HUB_CONFIG_H_
