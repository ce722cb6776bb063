#include "server/palette.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ovdiff::server {
namespace {

// Saturated and evenly spread first, then lighter, then darker ones: the
// classes of a small vocabulary are told apart at a glance, also on a
// photograph.
constexpr std::array<uint32_t, 32> kFirst = {
    0xE6194B, 0x3CB44B, 0x4363D8, 0xFFE119, 0xF58231, 0x911EB4, 0x42D4F4,
    0xF032E6, 0xBFEF45, 0x469990, 0x9A6324, 0x800000, 0x000075, 0x808000,
    0xFABED4, 0xAAFFC3, 0xDCBEFF, 0xFFD8B1, 0x00B894, 0xD35400, 0x6C5CE7,
    0x2D98DA, 0xE84393, 0x7F8C8D, 0x27AE60, 0xB33939, 0x40407A, 0xCCAE62,
    0x33D9B2, 0xFF793F, 0x706FD3, 0xA4B0BE};

uint32_t FromHsv(double hue, double saturation, double value) {
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue * 6.0, 6.0);
    const double share = std::clamp(std::min(k, 4.0 - k), 0.0, 1.0);
    return static_cast<uint32_t>(
        std::lround(255.0 * value * (1.0 - saturation * share)));
  };
  return (channel(5.0) << 16) | (channel(3.0) << 8) | channel(1.0);
}

}  // namespace

uint32_t LabelColour(uint16_t label) {
  if (label == 0) {
    return 0;
  }
  if (label <= kFirst.size()) {
    return kFirst[label - 1];
  }
  constexpr double kGoldenRatioFraction = 0.6180339887498949;
  const int step = label - static_cast<int>(kFirst.size());
  const double hue = std::fmod(step * kGoldenRatioFraction, 1.0);
  constexpr double kSaturations[] = {0.75, 0.5, 0.95};
  constexpr double kValues[] = {0.95, 0.7, 0.5};
  return FromHsv(hue, kSaturations[step % 3], kValues[(step / 3) % 3]);
}

}  // namespace ovdiff::server
