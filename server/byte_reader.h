// ByteReader: bounded reads from a file in memory, in either byte order.
#ifndef OVDIFF_SERVER_BYTE_READER_H_
#define OVDIFF_SERVER_BYTE_READER_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace ovdiff::server {

// Reads outside the bytes give 0 and set failed(). Thread-compatible.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes, bool big_endian = true)
      : bytes_(bytes), big_endian_(big_endian) {}

  void set_big_endian(bool big_endian) { big_endian_ = big_endian; }
  bool failed() const { return failed_; }
  uint64_t size() const { return bytes_.size(); }

  uint64_t U8(uint64_t at) { return Read(at, 1); }
  uint64_t U16(uint64_t at) { return Read(at, 2); }
  uint64_t U24(uint64_t at) { return Read(at, 3); }
  uint64_t U32(uint64_t at) { return Read(at, 4); }

 private:
  uint64_t Read(uint64_t at, uint64_t count) {
    if (at > bytes_.size() || bytes_.size() - at < count) {
      failed_ = true;
      return 0;
    }
    uint64_t value = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t byte = static_cast<uint8_t>(
          bytes_[big_endian_ ? at + i : at + count - 1 - i]);
      value = (value << 8) | byte;
    }
    return value;
  }

  absl::string_view bytes_;
  bool big_endian_;
  bool failed_ = false;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_BYTE_READER_H_
