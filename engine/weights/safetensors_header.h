// The JSON header of a .safetensors file, checked before anything is believed.
// Format: huggingface/safetensors (commit 24b0b28), README "Format".
#ifndef OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_HEADER_H_
#define OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::engine {

// Bounds of ours and of the format. A file beyond one is refused, not cut.
struct SafetensorsLimits {
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;
  static constexpr size_t kMaxTensors = 100'000;
  static constexpr size_t kMaxRank = 8;
  static constexpr size_t kMaxNameBytes = 512;
};

enum class SafetensorsDtype : uint8_t {
  kBool,
  kU8,
  kI8,
  kI16,
  kI32,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
};

// Bytes of one element.
int64_t SafetensorsItemSize(SafetensorsDtype dtype);
// The name in the header: "F32", "BF16", ….
absl::string_view SafetensorsDtypeName(SafetensorsDtype dtype);

struct SafetensorsEntry {
  std::string name;
  SafetensorsDtype dtype = SafetensorsDtype::kF32;
  std::vector<int64_t> shape;  // each >= 0; the product fits int64
  // [begin, end) in bytes from the end of the header.
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Parses the header and checks it against the size of what follows it: every
// rule of the format, so that the entries tile [0, data_bytes) without hole or
// overlap and each has the bytes its shape asks for. Sorted by `begin`.
// kFailedPrecondition names the tensor, where there is one, and the rule.
// Thread-safe, does not throw.
absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(
    absl::string_view header, uint64_t data_bytes);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_SAFETENSORS_HEADER_H_
