#include "engine/ops/resample.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "engine/base/sha256.h"
#include "gtest/gtest.h"
#include "tests/engine/ops/test_support.h"

namespace ovdiff::engine {
namespace {

// picture() of make_goldens.py.
Image Picture(uint32_t seed, int width, int height) {
  Image image{.width = width, .height = height, .data = {}};
  for (const double draw :
       Draws(seed, static_cast<size_t>(width) * height * 3)) {
    image.data.push_back(static_cast<uint8_t>(draw * 256));
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = &image.data[(static_cast<size_t>(y) * width + x) * 3];
      if (y < height / 3 && x < width / 2) {
        std::fill_n(pixel, 3, 0);
      } else if (y >= height / 3 && y < height / 2 && x >= width / 2) {
        std::fill_n(pixel, 3, 255);
      }
    }
  }
  return image;
}

std::string Bytes(const Image& image) {
  return {image.data.begin(), image.data.end()};
}

TEST(ResampleTest, EqualsPillowToTheBit) {
  const std::map<std::string, ResampleFilter> filters = {
      {"BILINEAR", ResampleFilter::kBilinear},
      {"BICUBIC", ResampleFilter::kBicubic},
      {"LANCZOS", ResampleFilter::kLanczos}};
  const nlohmann::json goldens = LoadGoldens();
  ASSERT_EQ(goldens["resample"].size(), 24u);
  for (const nlohmann::json& golden : goldens["resample"]) {
    SCOPED_TRACE(golden["filter"].get<std::string>() + golden["in"].dump() +
                 golden["out"].dump());
    const Image in = Picture(5, golden["in"][0], golden["in"][1]);
    const auto out =
        ResizeImage(in, {golden["out"][0], golden["out"][1]},
                    filters.at(golden["filter"].get<std::string>()));
    ASSERT_TRUE(out.ok()) << out.status();
    if (golden.contains("hex")) {
      EXPECT_EQ(absl::BytesToHexString(Bytes(*out)), golden["hex"]);
    }
    EXPECT_EQ(ToHex(Sha256Of(Bytes(*out))), golden["sha256"]);
  }
}

TEST(ResampleTest, SameSizeIsACopy) {
  const Image in = Picture(5, 9, 4);
  const auto out = ResizeImage(in, {9, 4}, ResampleFilter::kLanczos);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->data, in.data);
}

TEST(ResampleTest, RefusesEmptyImagesAndSizes) {
  const Image good = Picture(5, 9, 4);
  Image short_of_bytes = good;
  short_of_bytes.data.pop_back();
  for (const Image& bad : {Image{}, short_of_bytes}) {
    EXPECT_EQ(
        ResizeImage(bad, {4, 4}, ResampleFilter::kBicubic).status().code(),
        absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(CropImage(bad, 0, 0, {1, 1}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(ResizeImage(good, {0, 4}, ResampleFilter::kBicubic).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ResampleTest, ShortSideSize) {
  // A third of a pixel is cut, not rounded: torchvision's rule.
  EXPECT_EQ(ShortSideSize({640, 480}, 448), (ImageSize{597, 448}));
  EXPECT_EQ(ShortSideSize({480, 640}, 448), (ImageSize{448, 597}));
  EXPECT_EQ(ShortSideSize({500, 500}, 448), (ImageSize{448, 448}));
  EXPECT_EQ(ShortSideSize({3, 2}, 1), (ImageSize{1, 1}));
  EXPECT_EQ(ShortSideSize({20000, 1}, 1000), (ImageSize{20000000, 1000}));
}

TEST(ResampleTest, Crop) {
  const Image in = Picture(5, 5, 4);
  const auto out = CropImage(in, 1, 2, {3, 2});
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->data.size(), 18u);
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 9; ++x) {
      EXPECT_EQ(out->data[y * 9 + x], in.data[(y + 2) * 15 + 3 + x]);
    }
  }
  for (const auto& [x, y, size] :
       {std::tuple{-1, 0, ImageSize{1, 1}}, std::tuple{3, 0, ImageSize{3, 1}},
        std::tuple{0, 3, ImageSize{1, 2}}, std::tuple{0, 0, ImageSize{0, 1}},
        std::tuple{1, 0, ImageSize{2147483647, 1}}}) {
    EXPECT_EQ(CropImage(in, x, y, size).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace ovdiff::engine
