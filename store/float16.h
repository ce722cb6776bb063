// IEEE 754 binary16 for payloads: half the bytes on disk.
#ifndef OVDIFF_STORE_FLOAT16_H_
#define OVDIFF_STORE_FLOAT16_H_

#include <cstdint>
#include <vector>

namespace ovdiff::store {

// Largest finite binary16 value. What rounds beyond it becomes infinite.
inline constexpr float kMaxFloat16 = 65504.0f;

// To the nearest, ties to even. NaN stays NaN.
uint16_t ToFloat16(float value);
// Exact.
float FromFloat16(uint16_t bits);

std::vector<uint16_t> ToFloat16(const std::vector<float>& values);
std::vector<float> FromFloat16(const std::vector<uint16_t>& values);

// Whether all of `values` stay finite as binary16.
bool FitsFloat16(const std::vector<float>& values);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_FLOAT16_H_
