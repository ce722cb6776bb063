#include "client/label_png.h"

#include <png.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace ovdiff::client {
namespace {

constexpr png_uint_32 kMaxSide = 32768;

// All state of one decoding. libpng leaves by longjmp, which runs no
// destructors, so everything that owns memory lives here, outside the frames
// that are jumped over.
struct Decoding {
  absl::string_view bytes;
  size_t position = 0;
  std::string error;
  LabelPng image;
  std::vector<uint8_t> rows;
  std::vector<png_bytep> row_pointers;
  int sample_bytes = 1;
};

void OnError(png_structp png, png_const_charp message) {
  static_cast<Decoding*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

// libpng's warnings are about ancillary chunks, which labels do not need.
void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep target, size_t length) {
  auto* decoding = static_cast<Decoding*>(png_get_io_ptr(png));
  if (length > decoding->bytes.size() - decoding->position) {
    png_error(png, "the file ends too early");
  }
  std::memcpy(target, decoding->bytes.data() + decoding->position, length);
  decoding->position += length;
}

// The part that may be left by longjmp: calls libpng, owns nothing.
bool ReadRows(png_structp png, png_infop info, Decoding& decoding) {
  if (setjmp(png_jmpbuf(png)) != 0) {
    return false;
  }
  png_set_user_limits(png, kMaxSide, kMaxSide);
  png_set_read_fn(png, &decoding, OnRead);
  png_read_info(png, info);
  const int colour_type = png_get_color_type(png, info);
  if (colour_type != PNG_COLOR_TYPE_PALETTE &&
      colour_type != PNG_COLOR_TYPE_GRAY) {
    png_error(png, "it is neither indexed nor grey, so it holds no labels");
  }
  png_set_packing(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  decoding.sample_bytes = png_get_bit_depth(png, info) == 16 ? 2 : 1;
  decoding.image.width = static_cast<int>(png_get_image_width(png, info));
  decoding.image.height = static_cast<int>(png_get_image_height(png, info));
  const size_t stride = png_get_rowbytes(png, info);
  decoding.rows.resize(stride * decoding.image.height);
  decoding.row_pointers.resize(decoding.image.height);
  for (int y = 0; y < decoding.image.height; ++y) {
    decoding.row_pointers[y] = decoding.rows.data() + y * stride;
  }
  png_read_image(png, decoding.row_pointers.data());
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

absl::StatusOr<LabelPng> ReadLabelPng(absl::string_view bytes) {
  Decoding decoding;
  decoding.bytes = bytes;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoding,
                                           OnError, OnWarning);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  const bool read = info != nullptr && ReadRows(png, info, decoding);
  png_destroy_read_struct(&png, &info, nullptr);
  if (!read) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read the label PNG: ", decoding.error));
  }
  const size_t pixels =
      static_cast<size_t>(decoding.image.width) * decoding.image.height;
  decoding.image.labels.resize(pixels);
  for (size_t i = 0; i < pixels; ++i) {
    const uint8_t* sample = decoding.rows.data() + i * decoding.sample_bytes;
    // PNG is big-endian.
    decoding.image.labels[i] =
        decoding.sample_bytes == 2
            ? static_cast<uint16_t>(sample[0] << 8 | sample[1])
            : sample[0];
  }
  return std::move(decoding.image);
}

}  // namespace ovdiff::client
