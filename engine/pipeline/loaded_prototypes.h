// MatchablePrototypes: a prototype set on the device, vectors of length one.
#ifndef OVDIFF_ENGINE_PIPELINE_LOADED_PROTOTYPES_H_
#define OVDIFF_ENGINE_PIPELINE_LOADED_PROTOTYPES_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/prototype_set.h"
#include "engine/engine.h"
#include "engine/runners/model_set.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Immutable after Load(), shared by requests.
class MatchablePrototypes final : public LoadedPrototypes {
 public:
  struct Vectors {
    torch::Tensor vectors;  // float32 [P, C], each of length 1
    torch::Tensor rows;     // int64 [P] on the CPU: rows of PrototypeVectors
  };
  // Vectors of one side, level after level.
  struct Side : Vectors {
    // Level l has rows first[l] to first[l + 1] - 1.
    std::array<int64_t, 4> first{};

    // Those of the levels that `options` uses; no copy when it uses all.
    Vectors Select(const SegmentOptions& options) const;
  };
  struct Space {
    Side foreground;
    Side background;
  };

  // kFailedPrecondition if a space or vector length is not this bundle's, or
  // the set is misshapen. Throws what torch throws.
  static absl::StatusOr<std::shared_ptr<const MatchablePrototypes>> Load(
      const PrototypeSet& set, const ModelSet& models, torch::Device device);

  int64_t size_bytes() const override { return size_bytes_; }
  // Null if the class has no vectors there.
  const Space* FindSpace(const std::string& name) const;

 private:
  std::map<std::string, Space> spaces_;
  int64_t size_bytes_ = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_LOADED_PROTOTYPES_H_
