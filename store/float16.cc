#include "store/float16.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ovdiff::store {
namespace {

constexpr uint32_t kFloatMantissaBits = 23;
constexpr uint32_t kHalfMantissaBits = 10;
constexpr uint32_t kDroppedBits = kFloatMantissaBits - kHalfMantissaBits;
constexpr int kFloatBias = 127;
constexpr int kHalfBias = 15;
constexpr uint16_t kHalfInfinity = 0x7c00;

// `mantissa` / 2^shift, to the nearest, ties to even. shift: 1…31.
uint32_t ShiftRounding(uint32_t mantissa, int shift) {
  const uint32_t half = uint32_t{1} << (shift - 1);
  const uint32_t dropped = mantissa & ((uint32_t{1} << shift) - 1);
  uint32_t result = mantissa >> shift;
  if (dropped > half || (dropped == half && (result & 1) != 0)) {
    ++result;
  }
  return result;
}

}  // namespace

uint16_t ToFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const auto biased = static_cast<int>((bits >> kFloatMantissaBits) & 0xff);
  const uint32_t fraction = bits & ((uint32_t{1} << kFloatMantissaBits) - 1);
  if (biased == 0xff) {  // Infinite, or NaN with its quiet bit kept.
    return sign | kHalfInfinity | (fraction != 0 ? 0x200 : 0);
  }
  const int exponent = biased - kFloatBias + kHalfBias;
  if (exponent >= 0x1f) {
    return sign | kHalfInfinity;
  }
  if (exponent >= 1) {
    // A carry out of the mantissa moves into the exponent, and from the largest
    // one into infinity: both are the right rounding.
    const uint32_t magnitude =
        (static_cast<uint32_t>(exponent) << kHalfMantissaBits) +
        ShiftRounding(fraction, kDroppedBits);
    return sign | static_cast<uint16_t>(magnitude);
  }
  const int shift = static_cast<int>(kDroppedBits) + 1 - exponent;
  if (shift > 24) {  // Below half of the smallest subnormal.
    return sign;
  }
  const uint32_t significand = fraction | (uint32_t{1} << kFloatMantissaBits);
  return sign | static_cast<uint16_t>(ShiftRounding(significand, shift));
}

float FromFloat16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> kHalfMantissaBits) & 0x1f;
  const uint32_t fraction = bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t biased =
      exponent == 0x1f ? 0xff : exponent + kFloatBias - kHalfBias;
  return std::bit_cast<float>(sign | (biased << kFloatMantissaBits) |
                              (fraction << kDroppedBits));
}

std::vector<uint16_t> ToFloat16(const std::vector<float>& values) {
  std::vector<uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(),
                 [](float value) { return ToFloat16(value); });
  return halves;
}

std::vector<float> FromFloat16(const std::vector<uint16_t>& values) {
  std::vector<float> floats(values.size());
  std::transform(values.begin(), values.end(), floats.begin(),
                 [](uint16_t bits) { return FromFloat16(bits); });
  return floats;
}

bool FitsFloat16(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) {
    return std::abs(value) <= kMaxFloat16;
  });
}

}  // namespace ovdiff::store
