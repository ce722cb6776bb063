// Little-endian reading and writing of record payloads (store/FORMAT.md).
#ifndef OVDIFF_STORE_BYTES_H_
#define OVDIFF_STORE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/sha256.h"

namespace ovdiff::store {

// How float arrays are written. Values are on disk: do not change them.
enum class PayloadType : uint8_t {
  kNone = 0,  // The record has no float array.
  kFloat32 = 1,
  kFloat16 = 2,
};

// Bytes of one element; 0 for kNone.
size_t BytesOf(PayloadType type);

// Thread-compatible.
class ByteWriter {
 public:
  void U8(uint8_t value);
  void U16(uint16_t value);
  void U32(uint32_t value);
  void U64(uint64_t value);
  void I64(int64_t value);
  void Raw(absl::string_view bytes);
  void Digest(const Sha256Digest& digest);
  void Text(absl::string_view bytes);  // u32 length, bytes
  void I32s(const std::vector<int32_t>& values);
  void Floats(const std::vector<float>& values, PayloadType type);

  void Reserve(size_t bytes) { bytes_.reserve(bytes); }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Never reads past the end and never allocates more than is left to read: after
// a read that does not fit, ok() is false for good and all reads give zeros.
// Thread-compatible; `bytes` must outlive the reader.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  uint8_t U8();
  uint16_t U16();
  uint32_t U32();
  uint64_t U64();
  int64_t I64();
  absl::string_view Raw(uint64_t size);
  Sha256Digest Digest();
  std::string Text();
  std::vector<int32_t> I32s(uint64_t count);
  std::vector<float> Floats(uint64_t count, PayloadType type);
  // A u32 count of things of at least `min_bytes` each; fails if they cannot
  // all be there.
  uint32_t Count(size_t min_bytes);

  bool ok() const { return ok_; }
  // Everything was read and nothing is left.
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  uint64_t Integer(size_t size);

  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_BYTES_H_
