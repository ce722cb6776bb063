#include "store/bytes.h"

#include <bit>
#include <cstring>

#include "store/float16.h"

namespace ovdiff::store {

// Arrays are copied whole, so memory order must be the file's order.
static_assert(std::endian::native == std::endian::little,
              "the record format is little-endian; add byte swaps here");

namespace {

template <typename T>
void AppendArray(const std::vector<T>& values, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(values.data()),
               values.size() * sizeof(T));
}

template <typename T>
std::vector<T> ToArray(absl::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  return values;
}

}  // namespace

size_t BytesOf(PayloadType type) {
  switch (type) {
    case PayloadType::kNone:
      return 0;
    case PayloadType::kFloat32:
      return 4;
    case PayloadType::kFloat16:
      return 2;
  }
  return 0;
}

void ByteWriter::U8(uint8_t value) {
  bytes_.push_back(static_cast<char>(value));
}

void ByteWriter::U16(uint16_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void ByteWriter::U32(uint32_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void ByteWriter::U64(uint64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void ByteWriter::I64(int64_t value) { U64(static_cast<uint64_t>(value)); }

void ByteWriter::Raw(absl::string_view bytes) {
  bytes_.append(bytes.data(), bytes.size());
}

void ByteWriter::Digest(const Sha256Digest& digest) {
  Raw(absl::string_view(reinterpret_cast<const char*>(digest.data()),
                        digest.size()));
}

void ByteWriter::Text(absl::string_view bytes) {
  U32(static_cast<uint32_t>(bytes.size()));
  Raw(bytes);
}

void ByteWriter::I32s(const std::vector<int32_t>& values) {
  AppendArray(values, bytes_);
}

void ByteWriter::Floats(const std::vector<float>& values, PayloadType type) {
  if (type == PayloadType::kFloat16) {
    AppendArray(ToFloat16(values), bytes_);
  } else {
    AppendArray(values, bytes_);
  }
}

uint64_t ByteReader::Integer(size_t size) {
  const absl::string_view bytes = Raw(size);
  uint64_t value = 0;
  if (!bytes.empty()) {
    std::memcpy(&value, bytes.data(), bytes.size());
  }
  return value;
}

uint8_t ByteReader::U8() { return static_cast<uint8_t>(Integer(1)); }
uint16_t ByteReader::U16() { return static_cast<uint16_t>(Integer(2)); }
uint32_t ByteReader::U32() { return static_cast<uint32_t>(Integer(4)); }
uint64_t ByteReader::U64() { return Integer(8); }
int64_t ByteReader::I64() { return static_cast<int64_t>(Integer(8)); }

absl::string_view ByteReader::Raw(uint64_t size) {
  if (!ok_ || size > rest_.size()) {
    ok_ = false;
    return {};
  }
  const absl::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

Sha256Digest ByteReader::Digest() {
  Sha256Digest digest{};
  const absl::string_view bytes = Raw(digest.size());
  if (!bytes.empty()) {
    std::memcpy(digest.data(), bytes.data(), bytes.size());
  }
  return digest;
}

std::string ByteReader::Text() { return std::string(Raw(U32())); }

std::vector<int32_t> ByteReader::I32s(uint64_t count) {
  // Checked by division: count * 4 could wrap.
  if (count > rest_.size() / sizeof(int32_t)) {
    ok_ = false;
    return {};
  }
  return ToArray<int32_t>(Raw(count * sizeof(int32_t)));
}

std::vector<float> ByteReader::Floats(uint64_t count, PayloadType type) {
  const size_t size = BytesOf(type);
  if (size == 0 || count > rest_.size() / size) {
    ok_ = false;
    return {};
  }
  const absl::string_view bytes = Raw(count * size);
  return type == PayloadType::kFloat16 ? FromFloat16(ToArray<uint16_t>(bytes))
                                       : ToArray<float>(bytes);
}

uint32_t ByteReader::Count(size_t min_bytes) {
  const uint32_t count = U32();
  if (!ok_ || count > rest_.size() / min_bytes) {
    ok_ = false;
    return 0;
  }
  return count;
}

}  // namespace ovdiff::store
