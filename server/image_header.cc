#include "server/image_header.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/byte_reader.h"

namespace ovdiff::server {
namespace {

absl::Status Truncated(ImageFormat format) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the ", FormatName(format), " file is truncated or damaged"));
}

// What a TIFF image file directory tells; Exif data are a TIFF file too.
struct TiffTags {
  int64_t width = 0;
  int64_t height = 0;
  int orientation = 1;
};

// First directory only. False if `bytes` is not TIFF or ends inside it.
bool ReadTiffTags(absl::string_view bytes, TiffTags& tags) {
  if (!absl::StartsWith(bytes, absl::string_view("II*\0", 4)) &&
      !absl::StartsWith(bytes, absl::string_view("MM\0*", 4))) {
    return false;
  }
  ByteReader reader(bytes, /*big_endian=*/bytes[0] == 'M');
  const uint64_t directory = reader.U32(4);
  const uint64_t entries = reader.U16(directory);
  for (uint64_t i = 0; i < entries && !reader.failed(); ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    constexpr uint64_t kShort = 3;
    const bool is_short = reader.U16(entry + 2) == kShort;
    const uint64_t value =
        is_short ? reader.U16(entry + 8) : reader.U32(entry + 8);
    switch (reader.U16(entry)) {
      case 0x100:
        tags.width = static_cast<int64_t>(value);
        break;
      case 0x101:
        tags.height = static_cast<int64_t>(value);
        break;
      case 0x112:
        tags.orientation =
            value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
        break;
      default:
        break;
    }
  }
  return !reader.failed();
}

// Of Exif data with or without the "Exif\0\0" before them; 1 if unreadable.
int ExifOrientation(absl::string_view exif) {
  constexpr absl::string_view kPrefix("Exif\0\0", 6);
  if (absl::StartsWith(exif, kPrefix)) {
    exif.remove_prefix(kPrefix.size());
  }
  TiffTags tags;
  return ReadTiffTags(exif, tags) ? tags.orientation : 1;
}

bool IsJpegFrameHeader(uint64_t marker) {
  // SOF0…SOF15 without DHT, JPG and DAC.
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
         marker != 0xCC;
}

// Position of the next marker in entropy-coded data, past stuffed zeros and
// restart markers; npos if the file ends first.
size_t EndOfScan(absl::string_view bytes, size_t at) {
  while (true) {
    at = bytes.find('\xFF', at);
    if (at == absl::string_view::npos || at + 1 >= bytes.size()) {
      return absl::string_view::npos;
    }
    const auto next = static_cast<uint8_t>(bytes[at + 1]);
    if (next == 0xFF) {
      ++at;  // Fill bytes.
    } else if (next == 0 || (next >= 0xD0 && next <= 0xD7)) {
      at += 2;
    } else {
      return at;
    }
  }
}

// Walks all segments to the end of the picture: libjpeg, as OpenCV uses it,
// does not tell a truncated file from a whole one.
absl::StatusOr<ImageHeader> ReadJpeg(absl::string_view bytes) {
  ImageHeader header{.format = ImageFormat::kJpeg};
  ByteReader reader(bytes);
  bool has_scan = false;
  for (size_t at = 2; !reader.failed();) {
    if (reader.U8(at) != 0xFF) {
      break;
    }
    const uint64_t marker = reader.U8(at + 1);
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    if (marker == 0xD9) {  // End of image.
      if (has_scan && header.width > 0) {
        return header;
      }
      break;
    }
    const uint64_t length = reader.U16(at + 2);
    const size_t next = at + 2 + length;
    if (length < 2 || next > bytes.size()) {
      break;
    }
    if (IsJpegFrameHeader(marker) && header.width == 0) {
      header.height = static_cast<int64_t>(reader.U16(at + 5));
      header.width = static_cast<int64_t>(reader.U16(at + 7));
    } else if (marker == 0xE1 &&
               absl::StartsWith(bytes.substr(at + 4), "Exif")) {
      header.orientation = ExifOrientation(bytes.substr(at + 4, length - 2));
    }
    at = next;
    if (marker == 0xDA) {  // Start of scan: entropy-coded data follow.
      has_scan = true;
      at = EndOfScan(bytes, next);
      if (at == absl::string_view::npos) {
        break;
      }
    }
  }
  return Truncated(ImageFormat::kJpeg);
}

absl::StatusOr<ImageHeader> ReadPng(absl::string_view bytes) {
  ImageHeader header{.format = ImageFormat::kPng};
  ByteReader reader(bytes);
  header.width = static_cast<int64_t>(reader.U32(16));
  header.height = static_cast<int64_t>(reader.U32(20));
  if (reader.failed() || bytes.substr(12, 4) != "IHDR") {
    return Truncated(ImageFormat::kPng);
  }
  for (uint64_t at = 8; !reader.failed();) {
    const uint64_t length = reader.U32(at);
    const absl::string_view type =
        at + 8 <= bytes.size() ? bytes.substr(at + 4, 4) : "";
    if (type == "eXIf" && at + 8 + length <= bytes.size()) {
      header.orientation = ExifOrientation(bytes.substr(at + 8, length));
    }
    if (type == "IEND") {
      return header;
    }
    at += 12 + length;
  }
  return Truncated(ImageFormat::kPng);
}

absl::StatusOr<ImageHeader> ReadWebp(absl::string_view bytes) {
  ImageHeader header{.format = ImageFormat::kWebp};
  ByteReader reader(bytes, /*big_endian=*/false);
  const uint64_t end = 8 + reader.U32(4);
  if (reader.failed() || end > bytes.size()) {
    return Truncated(ImageFormat::kWebp);
  }
  for (uint64_t at = 12; at + 8 <= end && !reader.failed();) {
    const absl::string_view type = bytes.substr(at, 4);
    const uint64_t length = reader.U32(at + 4);
    const uint64_t data = at + 8;
    if (type == "VP8X") {
      if ((reader.U8(data) & 0x02) != 0) {
        return absl::InvalidArgumentError(
            "the WebP file is an animation; send its frames one by one");
      }
      header.width = static_cast<int64_t>(reader.U24(data + 4)) + 1;
      header.height = static_cast<int64_t>(reader.U24(data + 7)) + 1;
    } else if (type == "VP8 " && header.width == 0) {
      header.width = static_cast<int64_t>(reader.U16(data + 6) & 0x3FFF);
      header.height = static_cast<int64_t>(reader.U16(data + 8) & 0x3FFF);
    } else if (type == "VP8L" && header.width == 0) {
      const uint64_t bits = reader.U32(data + 1);
      header.width = static_cast<int64_t>(bits & 0x3FFF) + 1;
      header.height = static_cast<int64_t>((bits >> 14) & 0x3FFF) + 1;
    } else if (type == "EXIF" && data + length <= bytes.size()) {
      header.orientation = ExifOrientation(bytes.substr(data, length));
    }
    at = data + length + (length & 1);
  }
  return reader.failed() || header.width == 0
             ? absl::StatusOr<ImageHeader>(Truncated(ImageFormat::kWebp))
             : header;
}

absl::StatusOr<ImageHeader> ReadBmp(absl::string_view bytes) {
  ImageHeader header{.format = ImageFormat::kBmp};
  ByteReader reader(bytes, /*big_endian=*/false);
  constexpr uint64_t kCoreHeaderSize = 12;
  if (reader.U32(14) == kCoreHeaderSize) {
    header.width = static_cast<int64_t>(reader.U16(18));
    header.height = static_cast<int64_t>(reader.U16(20));
  } else {
    header.width = static_cast<int32_t>(reader.U32(18));
    // Negative: rows run top to bottom.
    header.height = std::abs(int64_t{static_cast<int32_t>(reader.U32(22))});
  }
  return reader.failed()
             ? absl::StatusOr<ImageHeader>(Truncated(ImageFormat::kBmp))
             : header;
}

absl::StatusOr<ImageHeader> ReadTiff(absl::string_view bytes) {
  TiffTags tags;
  if (!ReadTiffTags(bytes, tags)) {
    return Truncated(ImageFormat::kTiff);
  }
  return ImageHeader{.format = ImageFormat::kTiff,
                     .width = tags.width,
                     .height = tags.height,
                     .orientation = tags.orientation};
}

// The next decimal number, past white space and # comments; -1 if there is none
// or it has more than nine digits.
int64_t NextPnmNumber(absl::string_view& text) {
  while (!text.empty() && (absl::ascii_isspace(text[0]) || text[0] == '#')) {
    text.remove_prefix(
        text[0] == '#' ? std::min(text.find('\n'), text.size() - 1) + 1 : 1);
  }
  int64_t value = -1;
  for (int digits = 0; !text.empty() && absl::ascii_isdigit(text[0]);
       ++digits) {
    if (digits == 9) {
      return -1;
    }
    value = std::max<int64_t>(value, 0) * 10 + (text[0] - '0');
    text.remove_prefix(1);
  }
  return value;
}

absl::StatusOr<ImageHeader> ReadPnm(absl::string_view bytes) {
  absl::string_view rest = bytes.substr(2);
  const int64_t width = NextPnmNumber(rest);
  const int64_t height = NextPnmNumber(rest);
  if (width < 0 || height < 0) {
    return Truncated(ImageFormat::kPnm);
  }
  return ImageHeader{
      .format = ImageFormat::kPnm, .width = width, .height = height};
}

bool IsPnm(absl::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' &&
         bytes[1] <= '6' && (absl::ascii_isspace(bytes[2]) || bytes[2] == '#');
}

}  // namespace

absl::string_view FormatName(ImageFormat format) {
  constexpr absl::string_view kNames[] = {"JPEG", "PNG",  "WebP",
                                          "BMP",  "TIFF", "PNM"};
  return kNames[static_cast<int>(format)];
}

absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xFF\xD8\xFF")) {
    return ReadJpeg(bytes);
  }
  if (absl::StartsWith(bytes, "\x89PNG\r\n\x1A\n")) {
    return ReadPng(bytes);
  }
  if (absl::StartsWith(bytes, "RIFF") && bytes.substr(0, 12).size() == 12 &&
      bytes.substr(8, 4) == "WEBP") {
    return ReadWebp(bytes);
  }
  if (absl::StartsWith(bytes, "BM")) {
    return ReadBmp(bytes);
  }
  if (absl::StartsWith(bytes, absl::string_view("II*\0", 4)) ||
      absl::StartsWith(bytes, absl::string_view("MM\0*", 4))) {
    return ReadTiff(bytes);
  }
  if (IsPnm(bytes)) {
    return ReadPnm(bytes);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the file is not a picture that is understood (JPEG, PNG, WebP, BMP, "
      "TIFF or PNM); its ",
      bytes.size(), " bytes begin with 0x",
      absl::BytesToHexString(bytes.substr(0, 8))));
}

}  // namespace ovdiff::server
