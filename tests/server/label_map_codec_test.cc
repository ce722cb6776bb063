#include "server/label_map_codec.h"

#include <cmath>
#include <set>

#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "server/palette.h"

namespace ovdiff::server {
namespace {

cv::Mat Decode(const std::string& png, int flags) {
  return cv::imdecode(std::vector<uint8_t>(png.begin(), png.end()), flags);
}

TEST(LabelMapCodecTest, IndexedPngHasThePaletteOfTheLabels) {
  const LabelMap labels{3, 2, {0, 1, 2, 33, 200, 255}};
  const auto png = EncodeLabelMapPng(labels);
  ASSERT_TRUE(png.ok());
  EXPECT_EQ((*png)[24], 8);  // Bits.
  EXPECT_EQ((*png)[25], 3);  // Palette.
  const cv::Mat picture = Decode(*png, cv::IMREAD_COLOR);
  for (int i = 0; i < 6; ++i) {
    const auto bgr = picture.at<cv::Vec3b>(i / 3, i % 3);
    EXPECT_EQ(uint32_t{bgr[2]} << 16 | bgr[1] << 8 | bgr[0],
              LabelColour(labels.data[i]));
  }
}

TEST(LabelMapCodecTest, LargeLabelsMakeASixteenBitPng) {
  const LabelMap labels{2, 2, {0, 256, 7, 65535}};
  const auto png = EncodeLabelMapPng(labels);
  ASSERT_TRUE(png.ok());
  const cv::Mat picture = Decode(*png, cv::IMREAD_UNCHANGED);
  ASSERT_EQ(picture.type(), CV_16UC1);
  EXPECT_EQ(
      std::vector<uint16_t>(picture.begin<uint16_t>(), picture.end<uint16_t>()),
      labels.data);
}

TEST(LabelMapCodecTest, RawIsLittleEndian) {
  EXPECT_EQ(EncodeLabelMapRaw({2, 1, {1, 0x1234}}),
            std::string("\x01\x00\x34\x12", 4));
}

TEST(PaletteTest, BackgroundIsBlackAndTheFirst256Differ) {
  EXPECT_EQ(LabelColour(0), 0u);
  std::set<uint32_t> colours;
  for (int label = 0; label < 256; ++label) {
    const uint32_t colour = LabelColour(static_cast<uint16_t>(label));
    EXPECT_LE(colour, 0xFFFFFFu);
    EXPECT_TRUE(colours.insert(colour).second) << label;
  }
  // Frozen: pictures made today must fit tables made later.
  EXPECT_EQ(LabelColour(1), 0xE6194Bu);
  EXPECT_EQ(LabelColour(33), LabelColour(33));
}

}  // namespace
}  // namespace ovdiff::server
