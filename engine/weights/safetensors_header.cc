#include "engine/weights/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {
namespace {

struct DtypeRow {
  SafetensorsDtype dtype;
  absl::string_view name;
  int64_t item_size;
};

constexpr DtypeRow kDtypes[] = {
    {SafetensorsDtype::kBool, "BOOL", 1}, {SafetensorsDtype::kU8, "U8", 1},
    {SafetensorsDtype::kI8, "I8", 1},     {SafetensorsDtype::kI16, "I16", 2},
    {SafetensorsDtype::kI32, "I32", 4},   {SafetensorsDtype::kI64, "I64", 8},
    {SafetensorsDtype::kF16, "F16", 2},   {SafetensorsDtype::kBF16, "BF16", 2},
    {SafetensorsDtype::kF32, "F32", 4},   {SafetensorsDtype::kF64, "F64", 8},
};

const DtypeRow& RowOf(SafetensorsDtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)];
}

// A name for a message: printable, and never longer than a line.
std::string Quoted(absl::string_view name) {
  constexpr size_t kShown = 120;
  std::string shown = absl::CHexEscape(name.substr(0, kShown));
  return absl::StrCat("'", shown, name.size() > kShown ? "…" : "", "'");
}

// Reads the header event by event: nothing is built that the rules forbid, so
// a hostile header costs no more memory than its own length. Where it stands:
//   kStart -{-> kTop -key-> kTopValue -{-> kEntry -key-> kDtype|kShape|kOffsets
//   kTop -"__metadata__"-> kMetadataValue -{-> kMetadata -key-> kMetadataString
class HeaderHandler final : public nlohmann::json::json_sax_t {
 public:
  std::vector<SafetensorsEntry> entries;
  std::string error;

  bool start_object(std::size_t /*elements*/) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTopValue:
        state_ = State::kEntry;
        has_dtype_ = has_shape_ = has_offsets_ = false;
        return true;
      case State::kMetadataValue:
        state_ = State::kMetadata;
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool end_object() override {
    switch (state_) {
      case State::kTop:
        state_ = State::kDone;
        return true;
      case State::kMetadata:
        state_ = State::kTop;
        return true;
      case State::kEntry:
        if (!has_dtype_ || !has_shape_ || !has_offsets_) {
          return Fail(absl::StrCat("tensor ", Quoted(entries.back().name),
                                   " lacks dtype, shape or data_offsets"));
        }
        state_ = State::kTop;
        return true;
      default:
        return Unexpected("the end of an object");
    }
  }

  bool key(string_t& name) override {
    switch (state_) {
      case State::kTop:
        return TopKey(name);
      case State::kEntry:
        return EntryKey(name);
      case State::kMetadata:
        if (!metadata_keys_.insert(name).second) {
          return Fail(
              absl::StrCat("duplicate key ", Quoted(name), " in __metadata__"));
        }
        state_ = State::kMetadataString;
        return true;
      default:
        return Unexpected("a key");
    }
  }

  bool start_array(std::size_t /*elements*/) override {
    if (state_ == State::kShape) {
      state_ = State::kShapeItems;
      return true;
    }
    if (state_ == State::kOffsets) {
      state_ = State::kOffsetsItems;
      num_offsets_ = 0;
      return true;
    }
    return Unexpected("an array");
  }

  bool end_array() override {
    if (state_ == State::kOffsetsItems && num_offsets_ != 2) {
      return Fail(absl::StrCat("tensor ", Quoted(entries.back().name),
                               ": data_offsets must be [begin, end]"));
    }
    state_ = State::kEntry;
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadataString) {
      state_ = State::kMetadata;
      return true;
    }
    if (state_ != State::kDtype) {
      return Unexpected("a string");
    }
    for (const DtypeRow& row : kDtypes) {
      if (row.name == value) {
        entries.back().dtype = row.dtype;
        state_ = State::kEntry;
        return true;
      }
    }
    return Fail(absl::StrCat(
        "tensor ", Quoted(entries.back().name), " has unsupported dtype ",
        Quoted(value),
        "; supported are BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64"));
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShapeItems) {
      return ShapeItem(value);
    }
    if (state_ != State::kOffsetsItems) {
      return Unexpected("a number");
    }
    if (num_offsets_ < 2) {
      (num_offsets_ == 0 ? entries.back().begin : entries.back().end) = value;
    }
    ++num_offsets_;
    return true;
  }

  bool number_integer(number_integer_t value) override {
    return Unexpected(absl::StrCat("the negative number ", value));
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return Unexpected(
        absl::StrCat("the number ", Quoted(text),
                     " (only plain non-negative 64-bit integers are allowed)"));
  }
  bool boolean(bool /*value*/) override { return Unexpected("a boolean"); }
  bool null() override { return Unexpected("null"); }
  bool binary(binary_t& /*value*/) override { return Unexpected("binary"); }

  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return Fail(
        absl::StrCat("the header is not valid UTF-8 JSON at byte ", position));
  }

 private:
  enum class State {
    kStart,
    kTop,
    kTopValue,
    kEntry,
    kDtype,
    kShape,
    kShapeItems,
    kOffsets,
    kOffsetsItems,
    kMetadataValue,
    kMetadata,
    kMetadataString,
    kDone,
  };

  bool Fail(std::string message) {
    if (error.empty()) {
      error = std::move(message);
    }
    return false;
  }

  bool Unexpected(absl::string_view found) {
    const bool in_tensor = state_ >= State::kTopValue &&
                           state_ <= State::kOffsetsItems && !entries.empty();
    return Fail(absl::StrCat(
        in_tensor ? absl::StrCat("tensor ", Quoted(entries.back().name))
                  : std::string("the header"),
        " has ", found, " where the format does not allow one"));
  }

  bool TopKey(const std::string& name) {
    if (!names_.insert(name).second) {
      return Fail(absl::StrCat("duplicate key ", Quoted(name)));
    }
    if (name == "__metadata__") {
      state_ = State::kMetadataValue;
      return true;
    }
    if (name.size() > SafetensorsLimits::kMaxNameBytes) {
      return Fail(absl::StrCat(
          "the name ", Quoted(name), " has ", name.size(), " bytes; at most ",
          SafetensorsLimits::kMaxNameBytes, " are allowed"));
    }
    if (entries.size() == SafetensorsLimits::kMaxTensors) {
      return Fail(absl::StrCat("more than ", SafetensorsLimits::kMaxTensors,
                               " tensors"));
    }
    entries.emplace_back().name = name;
    state_ = State::kTopValue;
    return true;
  }

  bool EntryKey(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") {
      seen = &has_dtype_;
      state_ = State::kDtype;
    } else if (name == "shape") {
      seen = &has_shape_;
      state_ = State::kShape;
    } else if (name == "data_offsets") {
      seen = &has_offsets_;
      state_ = State::kOffsets;
    }
    const std::string& tensor = entries.back().name;
    if (seen == nullptr) {
      return Fail(absl::StrCat("tensor ", Quoted(tensor), " has unknown key ",
                               Quoted(name)));
    }
    if (*seen) {
      return Fail(absl::StrCat("tensor ", Quoted(tensor), " has duplicate key ",
                               Quoted(name)));
    }
    *seen = true;
    return true;
  }

  bool ShapeItem(uint64_t value) {
    SafetensorsEntry& entry = entries.back();
    if (entry.shape.size() == SafetensorsLimits::kMaxRank) {
      return Fail(absl::StrCat("tensor ", Quoted(entry.name), " has more than ",
                               SafetensorsLimits::kMaxRank, " dimensions"));
    }
    if (value > uint64_t{std::numeric_limits<int64_t>::max()}) {
      return Fail(absl::StrCat("tensor ", Quoted(entry.name),
                               ": a dimension of ", value, " overflows"));
    }
    entry.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  State state_ = State::kStart;
  std::set<std::string> names_;
  std::set<std::string> metadata_keys_;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  int num_offsets_ = 0;
};

// Bytes that the shape asks for. A zero among huge dimensions would hide an
// overflow in strides, so zeros count as one while checking.
absl::StatusOr<uint64_t> BytesOf(const SafetensorsEntry& entry) {
  const int64_t item_size = SafetensorsItemSize(entry.dtype);
  int64_t bytes = item_size;
  bool empty = false;
  for (const int64_t dim : entry.shape) {
    empty = empty || dim == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim, 1), &bytes)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "tensor ", Quoted(entry.name), ": the size of its shape overflows"));
    }
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

absl::Status CheckLayout(const std::vector<SafetensorsEntry>& entries,
                         uint64_t data_bytes) {
  uint64_t expected_begin = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != expected_begin || entry.end < entry.begin) {
      return absl::FailedPreconditionError(absl::StrCat(
          "tensor ", Quoted(entry.name), " has data_offsets [", entry.begin,
          ", ", entry.end, "), but the data before it ends at ", expected_begin,
          ": holes and overlaps are not allowed"));
    }
    OVDIFF_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(entry));
    if (bytes != entry.end - entry.begin) {
      return absl::FailedPreconditionError(absl::StrCat(
          "tensor ", Quoted(entry.name), ": its shape and dtype need ", bytes,
          " bytes, its data_offsets give ", entry.end - entry.begin));
    }
    expected_begin = entry.end;
  }
  if (expected_begin != data_bytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the tensors end at byte ", expected_begin, " of the data, but the ",
        "file holds ", data_bytes,
        expected_begin > data_bytes ? ": it is truncated"
                                    : ": it has bytes after the last tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t SafetensorsItemSize(SafetensorsDtype dtype) {
  return RowOf(dtype).item_size;
}

absl::string_view SafetensorsDtypeName(SafetensorsDtype dtype) {
  return RowOf(dtype).name;
}

absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(
    absl::string_view header, uint64_t data_bytes) {
  if (header.empty() || header.front() != '{') {
    return absl::FailedPreconditionError(
        "the header does not begin with '{': this is not a safetensors file");
  }
  HeaderHandler handler;
  const bool parsed =
      nlohmann::json::sax_parse(header.begin(), header.end(), &handler);
  if (!parsed) {
    return absl::FailedPreconditionError(handler.error);
  }
  std::vector<SafetensorsEntry> entries = std::move(handler.entries);
  // Empty tensors share their begin with a neighbour: `end` puts them first.
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  OVDIFF_RETURN_IF_ERROR(CheckLayout(entries, data_bytes));
  return entries;
}

}  // namespace ovdiff::engine
