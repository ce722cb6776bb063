#include "server/image_codec.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "server/image_header.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

std::string Encode(const char* extension, const cv::Mat& picture,
                   const std::vector<int>& options = {}) {
  std::vector<uint8_t> bytes;
  EXPECT_TRUE(cv::imencode(extension, picture, bytes, options)) << extension;
  return std::string(bytes.begin(), bytes.end());
}

// 40 x 24: red, except for a green top left quarter.
cv::Mat Quarter() {
  cv::Mat picture(24, 40, CV_8UC3, cv::Scalar(0, 0, 255));
  picture(cv::Rect(0, 0, 20, 12)) = cv::Scalar(0, 255, 0);
  return picture;
}

// "r", "g", "b", "w", "k" by the strongest channels of pixel (x, y).
char ColourAt(const Image& image, int x, int y) {
  const uint8_t* rgb = &image.data[3 * (y * image.width + x)];
  const bool r = rgb[0] > 128;
  const bool g = rgb[1] > 128;
  const bool b = rgb[2] > 128;
  return r && g && b ? 'w' : r ? 'r' : g ? 'g' : b ? 'b' : 'k';
}

std::string Corners(const Image& image) {
  return {ColourAt(image, 1, 1), ColourAt(image, image.width - 2, 1),
          ColourAt(image, 1, image.height - 2),
          ColourAt(image, image.width - 2, image.height - 2)};
}

Image MustDecode(const std::string& bytes) {
  auto image = DecodeImage(bytes, Limits());
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : Image{1, 1, {0, 0, 0}};
}

// Exif data: one entry, the orientation, in either byte order.
std::string Exif(int orientation, bool big_endian) {
  if (big_endian) {
    return std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) +
           static_cast<char>(orientation) + std::string(6, '\0');
  }
  return std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) +
         static_cast<char>(orientation) + std::string(7, '\0');
}

std::string Be(uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) {
    out += static_cast<char>(value >> (8 * i));
  }
  return out;
}

std::string JpegWithExif(int orientation, bool big_endian) {
  std::string jpeg = Encode(".jpg", Quarter());
  const std::string body =
      std::string("Exif\0\0", 6) + Exif(orientation, big_endian);
  return jpeg.insert(2, "\xFF\xE1" + Be(body.size() + 2, 2) + body);
}

uint32_t Crc(const std::string& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) {
      crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320 : 0);
    }
  }
  return ~crc;
}

std::string PngChunk(const std::string& type, const std::string& data) {
  return Be(data.size(), 4) + type + data + Be(Crc(type + data), 4);
}

TEST(ImageCodecTest, DecodesEveryFormat) {
  for (const char* extension :
       {".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"}) {
    const Image image = MustDecode(Encode(extension, Quarter()));
    EXPECT_EQ(image.width, 40) << extension;
    EXPECT_EQ(image.height, 24) << extension;
    EXPECT_EQ(image.data.size(), 40u * 24 * 3);
    EXPECT_EQ(Corners(image), "grrr") << extension;
  }
}

TEST(ImageCodecTest, PngRoundTripIsExact) {
  Image image{7, 5, {}};
  for (int i = 0; i < 7 * 5 * 3; ++i) {
    image.data.push_back(static_cast<uint8_t>(i * 37));
  }
  const auto png = EncodePng(image);
  ASSERT_TRUE(png.ok());
  const Image back = MustDecode(*png);
  EXPECT_EQ(back.width, 7);
  EXPECT_EQ(back.data, image.data);
}

TEST(ImageCodecTest, GreyAlphaAndSixteenBitsBecomeRgb) {
  const cv::Mat grey(6, 5, CV_8UC1, cv::Scalar(200));
  for (const char* extension : {".png", ".jpg", ".pgm", ".bmp", ".tiff"}) {
    const Image image = MustDecode(Encode(extension, grey));
    EXPECT_NEAR(image.data[0], 200, 2) << extension;
    EXPECT_EQ(image.data[0], image.data[2]) << extension;
  }
  // Half-transparent blue on white; wholly transparent black is white.
  cv::Mat alpha(4, 4, CV_8UC4, cv::Scalar(255, 0, 0, 128));
  alpha.at<cv::Vec4b>(0, 0) = {0, 0, 0, 0};
  for (const char* extension : {".png", ".tiff"}) {
    const Image image = MustDecode(Encode(extension, alpha));
    EXPECT_EQ(image.data[0], 255) << extension;
    EXPECT_NEAR(image.data[3], 127, 1) << extension;
    EXPECT_EQ(image.data[5], 255) << extension;
  }
  const Image webp =
      MustDecode(Encode(".webp", alpha, {cv::IMWRITE_WEBP_QUALITY, 101}));
  EXPECT_NEAR(webp.data[3], 127, 2);
  const cv::Mat deep(4, 4, CV_16UC3, cv::Scalar(0, 0x8080, 0xFFFF));
  for (const char* extension : {".png", ".tiff", ".ppm"}) {
    const Image image = MustDecode(Encode(extension, deep));
    EXPECT_EQ(image.data[0], 255) << extension;
    EXPECT_EQ(image.data[1], 128) << extension;
    EXPECT_EQ(image.data[2], 0) << extension;
  }
  const cv::Mat deep_grey(4, 4, CV_16UC1, cv::Scalar(0x8080));
  EXPECT_EQ(MustDecode(Encode(".png", deep_grey)).data[1], 128);
}

TEST(ImageCodecTest, ExifOrientationIsApplied) {
  // Where the green corner of the stored picture belongs: top left, top right,
  // bottom right, bottom left for 1, 2, 3, 4; turned for 5 to 8.
  const char* const expected[] = {"",     "grrr", "rgrr", "rrrg", "rrgr",
                                  "grrr", "rgrr", "rrrg", "rrgr"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool big_endian : {false, true}) {
      const Image image = MustDecode(JpegWithExif(orientation, big_endian));
      EXPECT_EQ(Corners(image), expected[orientation]) << orientation;
      EXPECT_EQ(image.width, orientation >= 5 ? 24 : 40) << orientation;
      EXPECT_EQ(image.height, orientation >= 5 ? 40 : 24) << orientation;
    }
    std::string png = Encode(".png", Quarter());
    png.insert(33, PngChunk("eXIf", Exif(orientation, true)));
    const Image image = MustDecode(png);
    EXPECT_EQ(Corners(image), expected[orientation]) << orientation;
    EXPECT_EQ(image.width, orientation >= 5 ? 24 : 40) << orientation;
  }
}

TEST(ImageCodecTest, TiffOrientationIsApplied) {
  const char* const expected[] = {"",     "grrr", "rgrr", "rrrg", "rrgr",
                                  "grrr", "rgrr", "rrrg", "rrgr"};
  const std::string plain = Encode(".tiff", Quarter());
  // OpenCV writes little-endian files; append a directory with one more entry.
  const auto u32 = [&plain](size_t at) {
    return static_cast<uint8_t>(plain[at]) |
           static_cast<uint8_t>(plain[at + 1]) << 8 |
           static_cast<uint8_t>(plain[at + 2]) << 16 |
           static_cast<uint8_t>(plain[at + 3]) << 24;
  };
  const size_t directory = u32(4);
  const int entries = static_cast<uint8_t>(plain[directory]);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    std::string tiff = plain;
    bool is_set = false;
    for (int i = 0; i < entries; ++i) {
      const size_t entry = directory + 2 + 12 * i;
      if (tiff.substr(entry, 2) == std::string("\x12\x01", 2)) {
        tiff[entry + 8] = static_cast<char>(orientation);
        is_set = true;
      }
    }
    if (!is_set) {
      // In its place by tag number: entries must ascend.
      const size_t at = tiff.size();
      std::string list;
      list += static_cast<char>(entries + 1);
      list += '\0';
      bool done = false;
      for (int i = 0; i < entries; ++i) {
        const std::string entry = tiff.substr(directory + 2 + 12 * i, 12);
        const int tag = static_cast<uint8_t>(entry[0]) +
                        256 * static_cast<uint8_t>(entry[1]);
        if (!done && tag > 0x112) {
          list += std::string("\x12\x01\x03\0\x01\0\0\0", 8) +
                  static_cast<char>(orientation) + std::string(3, '\0');
          done = true;
        }
        list += entry;
      }
      tiff += list + std::string(4, '\0');
      for (int i = 0; i < 4; ++i) {
        tiff[4 + i] = static_cast<char>(at >> (8 * i));
      }
    }
    const Image image = MustDecode(tiff);
    EXPECT_EQ(Corners(image), expected[orientation]) << orientation;
  }
}

TEST(ImageCodecTest, TruncatedFilesAreRefusedAtEveryLength) {
  for (const char* extension : {".jpg", ".png", ".webp", ".bmp", ".ppm"}) {
    const std::string whole = Encode(extension, Quarter());
    for (size_t size = 0; size < whole.size(); size += 1 + size / 40) {
      const auto image = DecodeImage(whole.substr(0, size), Limits());
      ASSERT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument)
          << extension << " cut to " << size << " of " << whole.size();
    }
    if (std::string(extension) != ".webp") {
      const auto image =
          DecodeImage(whole.substr(0, whole.size() - 1), Limits());
      EXPECT_FALSE(image.ok()) << extension;
    }
  }
  const std::string progressive =
      Encode(".jpg", Quarter(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  EXPECT_EQ(Corners(MustDecode(progressive)), "grrr");
  EXPECT_FALSE(
      DecodeImage(progressive.substr(0, progressive.size() / 2), Limits())
          .ok());
}

TEST(ImageCodecTest, DamagedFilesNeverCrash) {
  for (const char* extension :
       {".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"}) {
    const std::string whole = Encode(extension, Quarter());
    uint32_t random = 1;
    for (int i = 0; i < 300; ++i) {
      std::string damaged = whole;
      for (int k = 0; k < 3; ++k) {
        random = random * 1664525 + 1013904223;
        damaged[(random >> 8) % damaged.size()] =
            static_cast<char>(random >> 24);
      }
      const auto image = DecodeImage(damaged, Limits());
      if (image.ok()) {
        EXPECT_EQ(image->data.size(), size_t{3} * image->width * image->height);
      } else {
        EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument)
            << image.status();
      }
    }
  }
}

TEST(ImageCodecTest, BombsAreRefusedByTheirHeader) {
  // A PNG of 60000 x 60000 whose data are never looked at.
  const std::string ihdr =
      Be(60000, 4) + Be(60000, 4) + std::string("\x08\x02\0\0\0", 5);
  const std::string png = std::string("\x89PNG\r\n\x1A\n", 8) +
                          PngChunk("IHDR", ihdr) + PngChunk("IDAT", "x") +
                          PngChunk("IEND", "");
  const auto image = DecodeImage(png, Limits());
  EXPECT_THAT(std::string(image.status().message()),
              HasSubstr("60000x60000 pixels"));
  EXPECT_THAT(std::string(image.status().message()), HasSubstr("16384"));
  EXPECT_FALSE(DecodeImage("P6\n100000 100000\n255\n", Limits()).ok());
  Limits limits;
  limits.max_image_pixels = 40 * 24 - 1;
  EXPECT_FALSE(DecodeImage(Encode(".png", Quarter()), limits).ok());
  limits.max_image_pixels = 40 * 24;
  EXPECT_TRUE(DecodeImage(Encode(".png", Quarter()), limits).ok());
  limits.max_image_side = 39;
  EXPECT_FALSE(DecodeImage(Encode(".jpg", Quarter()), limits).ok());
}

TEST(ImageCodecTest, ZeroSizesAndUnknownFormatsAreRefused) {
  for (const std::string& bytes :
       {std::string(), std::string("GIF89a......."), std::string("BM"),
        std::string("P6\n0 4\n255\n"), std::string("\xFF\xD8\xFF"),
        std::string("RIFF"), std::string("II*\0", 4)}) {
    const auto image = DecodeImage(bytes, Limits());
    EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// 6 x 4, object in the left two columns; of the type's `value` there.
cv::Mat LeftColumns(int type, const cv::Scalar& value) {
  cv::Mat mask(4, 6, type, cv::Scalar::all(0));
  mask(cv::Rect(0, 0, 2, 4)) = value;
  return mask;
}

TEST(MaskCodecTest, AnythingAboveZeroIsTheObject) {
  cv::Mat alpha = LeftColumns(CV_8UC4, cv::Scalar(9, 9, 9, 0));
  alpha.forEach<cv::Vec4b>(
      [](cv::Vec4b& pixel, const int*) { pixel[3] = 255; });
  const std::string files[] = {
      Encode(".png", LeftColumns(CV_8UC1, cv::Scalar(1))),
      Encode(".png", LeftColumns(CV_8UC1, cv::Scalar(255))),
      Encode(".png", LeftColumns(CV_16UC1, cv::Scalar(1))),
      Encode(".png", LeftColumns(CV_8UC3, cv::Scalar(7, 7, 7))),
      Encode(".png", alpha),
      Encode(".pgm", LeftColumns(CV_8UC1, cv::Scalar(3))),
      Encode(".bmp", LeftColumns(CV_8UC1, cv::Scalar(3)))};
  for (const std::string& file : files) {
    const auto mask = DecodeMask(file, Limits());
    ASSERT_TRUE(mask.ok()) << mask.status();
    EXPECT_EQ(mask->width, 6);
    EXPECT_EQ(mask->height, 4);
    ASSERT_EQ(mask->data.size(), 24u);
    for (int i = 0; i < 24; ++i) {
      EXPECT_EQ(mask->data[i], i % 6 < 2 ? 1 : 0);
    }
    const auto again = DecodeMask(EncodeMaskPng(*mask).value(), Limits());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->data, mask->data);
  }
}

TEST(MaskCodecTest, RefusesWhatIsNoMask) {
  const auto message = [](const std::string& file, const Limits& limits = {}) {
    const absl::Status status = DecodeMask(file, limits).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message(""), HasSubstr("empty"));
  EXPECT_THAT(message("nonsense"), HasSubstr("not a picture"));
  EXPECT_THAT(message(Encode(".jpg", LeftColumns(CV_8UC1, cv::Scalar(255)))),
              HasSubstr("JPEG"));
  EXPECT_THAT(message(Encode(".png", Quarter())), HasSubstr("colours"));
  EXPECT_THAT(
      message(Encode(".png", LeftColumns(CV_8UC4, cv::Scalar(9, 9, 9, 255)))),
      HasSubstr("transparent"));
  Limits small;
  small.max_image_side = 5;
  EXPECT_THAT(
      message(Encode(".png", LeftColumns(CV_8UC1, cv::Scalar(1))), small),
      HasSubstr("6x4"));
}

}  // namespace
}  // namespace ovdiff::server
