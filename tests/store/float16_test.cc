#include "store/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace ovdiff::store {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Float16Test, KnownValues) {
  EXPECT_EQ(ToFloat16(0.0f), 0x0000);
  EXPECT_EQ(ToFloat16(-0.0f), 0x8000);
  EXPECT_EQ(ToFloat16(1.0f), 0x3c00);
  EXPECT_EQ(ToFloat16(-2.0f), 0xc000);
  EXPECT_EQ(ToFloat16(65504.0f), 0x7bff);
  EXPECT_EQ(ToFloat16(std::ldexp(1.0f, -14)), 0x0400);  // Smallest normal.
  EXPECT_EQ(ToFloat16(std::ldexp(1.0f, -24)), 0x0001);  // Smallest subnormal.
  EXPECT_EQ(ToFloat16(kInfinity), 0x7c00);
  EXPECT_EQ(ToFloat16(-kInfinity), 0xfc00);
  EXPECT_TRUE(std::isnan(FromFloat16(ToFloat16(std::nanf("")))));
  EXPECT_EQ(FromFloat16(0x3555), 0.333251953125f);
}

TEST(Float16Test, EveryValueComesBack) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = FromFloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_GT(bits & 0x7fff, 0x7c00U);
    } else {
      EXPECT_EQ(ToFloat16(value), bits);
    }
  }
}

// Between two neighbours the nearer one is taken, and the even one from the
// middle.
TEST(Float16Test, RoundsToTheNearestTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto low_bits = static_cast<uint16_t>(bits);
    const auto high_bits = static_cast<uint16_t>(bits + 1);
    const float middle =
        (FromFloat16(low_bits) + FromFloat16(high_bits)) / 2.0f;  // Exact.
    ASSERT_EQ(ToFloat16(middle), bits % 2 == 0 ? low_bits : high_bits) << bits;
    ASSERT_EQ(ToFloat16(std::nextafter(middle, 0.0f)), low_bits) << bits;
    ASSERT_EQ(ToFloat16(std::nextafter(middle, kInfinity)), high_bits) << bits;
    ASSERT_EQ(ToFloat16(-middle) & 0x7fff, ToFloat16(middle)) << bits;
  }
}

TEST(Float16Test, TooLargeBecomesInfinite) {
  EXPECT_EQ(ToFloat16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(ToFloat16(65520.0f), 0x7c00);
  EXPECT_EQ(ToFloat16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(ToFloat16(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_TRUE(FitsFloat16({0.0f, 65504.0f, -65504.0f}));
  EXPECT_FALSE(FitsFloat16({0.0f, 65505.0f}));
}

}  // namespace
}  // namespace ovdiff::store
