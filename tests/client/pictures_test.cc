#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "client/drawn_text.h"
#include "client/evaluation.h"
#include "client/image_io.h"
#include "client/overlay.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/indexed_png.h"

namespace ovdiff::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

cv::Mat Labels(const std::vector<std::vector<int>>& rows) {
  cv::Mat labels(static_cast<int>(rows.size()),
                 static_cast<int>(rows[0].size()), CV_16UC1);
  for (int y = 0; y < labels.rows; ++y) {
    for (int x = 0; x < labels.cols; ++x) {
      labels.at<uint16_t>(y, x) = static_cast<uint16_t>(rows[y][x]);
    }
  }
  return labels;
}

bool Same(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() &&
         cv::countNonZero(a != b) == 0;
}

std::string Encoded(const std::string& extension, const cv::Mat& picture) {
  std::vector<uint8_t> bytes;
  cv::imencode(extension, picture, bytes);
  return {bytes.begin(), bytes.end()};
}

TEST(LabelPngTest, GivesIndicesNotColours) {
  const cv::Mat labels = Labels({{0, 3, 255}, {7, 7, 1}});
  auto read = DecodeLabelPng(IndexedPng(labels));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(Same(*read, labels));
}

TEST(LabelPngTest, ReadsSixteenBitGrey) {
  const cv::Mat labels = Labels({{0, 256}, {65535, 4660}});
  auto read = DecodeLabelPng(Encoded(".png", labels));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(Same(*read, labels));
}

TEST(LabelPngTest, RefusesColourAndDamage) {
  const std::string colour =
      Encoded(".png", cv::Mat(2, 2, CV_8UC3, cv::Scalar(1, 2, 3)));
  EXPECT_THAT(std::string(DecodeLabelPng(colour).status().message()),
              HasSubstr("neither indexed nor grey"));
  const std::string good = IndexedPng(Labels({{1, 2}}));
  for (size_t length = 0; length + 12 < good.size(); length += 5) {
    EXPECT_FALSE(DecodeLabelPng(good.substr(0, length)).ok()) << length;
  }
}

TEST(LabelMapTest, ReadsRawLittleEndianAndChecksSizes) {
  v1::LabelMap map;
  map.set_format(v1::LABEL_MAP_FORMAT_RAW_U16);
  map.set_width(2);
  map.set_height(1);
  map.set_data(std::string("\x01\x00\x34\x12", 4));
  auto labels = DecodeLabelMap(map);
  ASSERT_TRUE(labels.ok());
  EXPECT_TRUE(Same(*labels, Labels({{1, 0x1234}})));
  map.set_height(2);
  EXPECT_FALSE(DecodeLabelMap(map).ok());
  map.set_format(v1::LABEL_MAP_FORMAT_PNG);
  map.set_data(IndexedPng(Labels({{1, 2}})));
  EXPECT_THAT(std::string(DecodeLabelMap(map).status().message()),
              HasSubstr("2x2"));
}

TEST(PictureTest, LaysAlphaOnWhite) {
  cv::Mat bgra(1, 3, CV_8UC4);
  bgra.at<cv::Vec4b>(0, 0) = {10, 20, 30, 255};
  bgra.at<cv::Vec4b>(0, 1) = {10, 20, 30, 0};
  bgra.at<cv::Vec4b>(0, 2) = {0, 0, 0, 128};
  auto picture = DecodePicture(Encoded(".png", bgra));
  ASSERT_TRUE(picture.ok());
  EXPECT_EQ(picture->at<cv::Vec3b>(0, 0), cv::Vec3b(10, 20, 30));
  EXPECT_EQ(picture->at<cv::Vec3b>(0, 1), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(picture->at<cv::Vec3b>(0, 2), cv::Vec3b(127, 127, 127));
}

TEST(PictureTest, GreyAndSixteenBitBecomeBgr) {
  for (int type : {CV_8UC1, CV_16UC1, CV_16UC3}) {
    auto picture = DecodePicture(
        Encoded(".png", cv::Mat(3, 2, type, cv::Scalar::all(99))));
    ASSERT_TRUE(picture.ok()) << type;
    EXPECT_EQ(picture->type(), CV_8UC3);
    EXPECT_EQ(picture->size(), cv::Size(2, 3));
  }
  EXPECT_FALSE(DecodePicture("no picture").ok());
  EXPECT_FALSE(DecodePicture("").ok());
}

TEST(FileTest, SaysWhatIsWrongWithAFile) {
  const std::string folder =
      ::testing::TempDir() + "/ovdiff_files_" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  EXPECT_EQ(ReadFileBytes(folder + "/none", 10).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadFileBytes(folder, 10).status().message()),
              HasSubstr("not a regular file"));
  ASSERT_TRUE(WriteFileBytes(folder + "/a", "0123456789").ok());
  EXPECT_EQ(*ReadFileBytes(folder + "/a", 10), "0123456789");
  EXPECT_THAT(std::string(ReadFileBytes(folder + "/a", 9).status().message()),
              HasSubstr("10 bytes; at most 9"));
  ASSERT_TRUE(WriteFileBytes(folder + "/a", "").ok());
  EXPECT_THAT(std::string(ReadFileBytes(folder + "/a", 9).status().message()),
              HasSubstr("empty"));
  EXPECT_FALSE(WriteFileBytes(folder + "/no/such/folder", "x").ok());
  std::filesystem::remove_all(folder);
}

TEST(OverlayTest, EnlargesByAWholeFactorAndAddsALegend) {
  const cv::Mat picture(64, 48, CV_8UC3, cv::Scalar(120, 120, 120));
  cv::Mat labels = cv::Mat::zeros(64, 48, CV_16UC1);
  labels(cv::Rect(10, 10, 20, 20)) = 5;
  const std::vector<OverlayClass> classes = {{"cat", 5, 0xff0000},
                                             {"dog", 6, 0x00ff00}};
  EXPECT_EQ(EnlargementOf(picture.size(), 512), 8);
  EXPECT_EQ(EnlargementOf({500, 300}, 512), 2);
  EXPECT_EQ(EnlargementOf({512, 300}, 512), 1);
  EXPECT_EQ(EnlargementOf({4000, 3000}, 512), 1);
  auto plain = DrawOverlay(picture, labels, classes, {.legend = false});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->size(), cv::Size(48 * 8, 64 * 8));
  // Inside the object: red over grey; outside: untouched.
  EXPECT_EQ(plain->at<cv::Vec3b>(160, 160), cv::Vec3b(54, 54, 194));
  EXPECT_EQ(plain->at<cv::Vec3b>(400, 20), cv::Vec3b(120, 120, 120));
  auto legend = DrawOverlay(picture, labels, classes);
  ASSERT_TRUE(legend.ok());
  EXPECT_EQ(legend->rows, 64 * 8);
  EXPECT_GT(legend->cols, 48 * 8 + 100);
}

TEST(OverlayTest, RefusesWhatDoesNotFitTogether) {
  const cv::Mat picture(4, 4, CV_8UC3, cv::Scalar::all(0));
  EXPECT_FALSE(DrawOverlay(picture, cv::Mat::zeros(4, 5, CV_16UC1), {}).ok());
  const cv::Mat nine(4, 4, CV_16UC1, cv::Scalar(9));
  EXPECT_THAT(std::string(DrawOverlay(picture, nine, {}).status().message()),
              HasSubstr("label 9"));
}

TEST(OverlayTest, ManyClassesStayInsideThePanel) {
  cv::Mat labels(8, 64, CV_16UC1);
  std::vector<OverlayClass> classes;
  for (int x = 0; x < 64; ++x) {
    labels.col(x) = x + 1;
    classes.push_back({std::string(200, 'w'), x + 1, 0x123456});
  }
  const cv::Mat picture(8, 64, CV_8UC3, cv::Scalar::all(80));
  auto drawn = DrawOverlay(picture, labels, classes);
  ASSERT_TRUE(drawn.ok());
  EXPECT_EQ(drawn->rows, 64);
  EXPECT_LT(drawn->cols, 512 + 600);
}

TEST(DrawnTextTest, EscapesWhatTheFontCannotDraw) {
  EXPECT_EQ(AsciiWithEscapes("red sneaker"), "red sneaker");
  EXPECT_EQ(AsciiWithEscapes("caf\u00e9"), "caf\\u00e9");
  EXPECT_EQ(AsciiWithEscapes("\U0001F415"), "\\U0001f415");
  EXPECT_EQ(AsciiWithEscapes("a\nb\xff"), "a\\x0ab\\xff");
}

TEST(DrawnTextTest, FitsAndDrawsInside) {
  EXPECT_EQ(FitText("short", 12, 1000), "short");
  const std::string cut = FitText(std::string(200, 'm'), 12, 100);
  EXPECT_TRUE(cut.ends_with(".."));
  EXPECT_LE(TextWidth(cut, 12), 100);
  cv::Mat picture(30, 60, CV_8UC3, cv::Scalar::all(255));
  DrawText("Hello", {5, 20}, 12, cv::Scalar::all(0), picture);
  EXPECT_LT(cv::mean(picture)[0], 252);
  const cv::Mat before = picture.clone();
  DrawText("Hello", {500, 20}, 12, cv::Scalar::all(0), picture);
  EXPECT_EQ(cv::norm(before, picture), 0);
}

TEST(EvaluationTest, SumsOverPicturesBeforeDividing) {
  SegmentationScore score;
  ASSERT_TRUE(score.Add(Labels({{0, 0, 1, 1}}), Labels({{0, 1, 1, 1}})).ok());
  ASSERT_TRUE(score.Add(Labels({{0, 0, 0, 2}}), Labels({{0, 0, 0, 1}})).ok());
  // Background 1+3 of 2+3; class 1: 2 of 3+1; class 2: 0 of 1.
  EXPECT_DOUBLE_EQ(score.Iou(0), 4.0 / 5);
  EXPECT_DOUBLE_EQ(score.Iou(1), 2.0 / 4);
  EXPECT_DOUBLE_EQ(score.Iou(2), 0);
  EXPECT_TRUE(std::isnan(score.Iou(3)));
  EXPECT_DOUBLE_EQ(score.MeanIou(), (0.8 + 0.5 + 0) / 3);
  // Foreground: 2+1 shared; 3+1 in either.
  EXPECT_DOUBLE_EQ(score.ForegroundIou(), 3.0 / 4);
  EXPECT_THAT(score.Classes(), ElementsAre(0, 1, 2));
  EXPECT_FALSE(score.Add(Labels({{0}}), Labels({{0, 1}})).ok());
  EXPECT_TRUE(std::isnan(SegmentationScore().MeanIou()));
}

TEST(EvaluationTest, MapsLabelsOrNamesTheUnknownOne) {
  cv::Mat labels = Labels({{0, 30, 31}});
  ASSERT_TRUE(MapLabels({{0, 0}, {30, 2}, {31, 1}}, labels).ok());
  EXPECT_TRUE(Same(labels, Labels({{0, 2, 1}})));
  EXPECT_THAT(std::string(MapLabels({{0, 0}}, labels).message()),
              HasSubstr("label 2"));
}

}  // namespace
}  // namespace ovdiff::client
