#include "engine/weights/safetensors.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/weights/safetensors_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/weights/temp_folder.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::HasSubstr;

// A file's bytes: header length, header, data.
std::string FileBytes(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(
        static_cast<char>((uint64_t{header.size()} >> (8 * i)) & 0xff));
  }
  return bytes + header + data;
}

class SafetensorsTest : public ::testing::Test {
 protected:
  absl::StatusOr<StateDict> ReadBytes(const std::string& bytes) {
    folder_.Write("x.safetensors", bytes);
    return ReadSafetensors(folder_.Path("x.safetensors"));
  }
  absl::StatusOr<StateDict> Read(const std::string& header,
                                 const std::string& data) {
    return ReadBytes(FileBytes(header, data));
  }
  // The file is refused, and the message names it and says `part`.
  void ExpectRefused(const absl::StatusOr<StateDict>& result,
                     const std::string& part) {
    ASSERT_FALSE(result.ok()) << "expected: " << part;
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(part));
    EXPECT_THAT(std::string(result.status().message()),
                HasSubstr("x.safetensors"));
  }
  void ExpectHeaderRefused(const std::string& header, size_t data_bytes,
                           const std::string& part) {
    ExpectRefused(Read(header, std::string(data_bytes, '\0')), part);
  }

  TempFolder folder_;
};

TEST_F(SafetensorsTest, ReadsEveryDtype) {
  const StateDict written = {
      {"bool", torch::tensor({true, false, true})},
      {"u8", torch::tensor({0, 255}, torch::kByte)},
      {"i8", torch::tensor({-128, 127}, torch::kChar)},
      {"i16", torch::tensor({-32768, 32767}, torch::kShort)},
      {"i32", torch::tensor({-1, 1 << 30}, torch::kInt)},
      {"i64", torch::tensor({int64_t{-1}, int64_t{1} << 62}, torch::kLong)},
      {"f16", torch::randn({2, 3}).to(torch::kHalf)},
      {"bf16", torch::randn({3, 2}).to(torch::kBFloat16)},
      {"f32", torch::randn({2, 2, 2, 2})},
      {"f64", torch::randn({5}, torch::kDouble)},
      {"scalar", torch::tensor(2.5f).reshape({})},
      {"empty", torch::empty({0, 4})},
  };
  const std::string path = folder_.Path("all.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, written).ok());
  const auto read = ReadSafetensors(path);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), written.size());
  for (const auto& [name, tensor] : written) {
    const torch::Tensor& found = read->at(name);
    EXPECT_EQ(found.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(found, tensor)) << name;
    EXPECT_TRUE(found.is_contiguous()) << name;
  }
}

TEST_F(SafetensorsTest, ReadsBytesWrittenByHand) {
  // 1.0f and -2.0f little-endian; padded header, metadata, unaligned data.
  const std::string data("x\x00\x00\x80\x3f\x00\x00\x00\xc0", 9);
  const auto read = Read(
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],)"
      R"("data_offsets":[1,9]},"a":{"shape":[1],"data_offsets":[0,1],)"
      R"("dtype":"U8"}}  )",
      data);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(torch::equal(read->at("w"), torch::tensor({{1.0f, -2.0f}})));
  EXPECT_EQ(read->at("a").item<int>(), 'x');
}

TEST_F(SafetensorsTest, ReadsAFileWithoutTensors) {
  const auto read = Read("{}", "");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->empty());
}

TEST_F(SafetensorsTest, AMissingFileIsNotFound) {
  const auto read = ReadSafetensors(folder_.Path("none.safetensors"));
  EXPECT_EQ(read.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(read.status().message()),
              HasSubstr("none.safetensors"));
}

TEST_F(SafetensorsTest, RefusesWhatIsNoRegularFile) {
  std::filesystem::create_directory(folder_.Path("x.safetensors"));
  ExpectRefused(ReadSafetensors(folder_.Path("x.safetensors")),
                "not a regular file");
}

TEST_F(SafetensorsTest, RefusesBadHeaderLengths) {
  ExpectRefused(ReadBytes(""), "has 0 bytes");
  ExpectRefused(ReadBytes("1234567"), "has 7 bytes");
  ExpectRefused(ReadBytes(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}"),
                "at most 100000000");
  ExpectRefused(ReadBytes(std::string(8, '\xff') + "{}"), "at most 100000000");
  ExpectRefused(ReadBytes(std::string("\x03\0\0\0\0\0\0\0", 8) + "{}"),
                "the file has 2");
  ExpectRefused(ReadBytes(std::string(8, '\0')), "'{'");
}

TEST_F(SafetensorsTest, RefusesHeadersThatAreNoObject) {
  ExpectHeaderRefused("[1]", 0, "'{'");
  ExpectHeaderRefused(" {}", 0, "'{'");
  ExpectHeaderRefused("{", 0, "not valid UTF-8 JSON");
  ExpectHeaderRefused("{}x", 0, "not valid UTF-8 JSON");
  ExpectHeaderRefused("{}{}", 0, "not valid UTF-8 JSON");
  ExpectHeaderRefused("{\"caf\xe9\":1}", 0, "not valid UTF-8 JSON");
  ExpectHeaderRefused(R"({"a":NaN})", 0, "not valid UTF-8 JSON");
}

constexpr char kGood[] = R"("dtype":"U8","shape":[2],"data_offsets":[0,2])";

std::string Header(const std::string& entry) {
  return absl::StrCat("{\"t\":{", entry, "}}");
}

TEST_F(SafetensorsTest, RefusesDuplicateKeys) {
  ExpectHeaderRefused(absl::StrCat("{\"t\":{", kGood, "},\"t\":{", kGood, "}}"),
                      2, "duplicate key 't'");
  ExpectHeaderRefused(Header(absl::StrCat(kGood, R"(,"dtype":"I8")")), 2,
                      "duplicate key 'dtype'");
  ExpectHeaderRefused(Header(absl::StrCat(kGood, R"(,"shape":[2])")), 2,
                      "duplicate key 'shape'");
  ExpectHeaderRefused(R"({"__metadata__":{"a":"1","a":"2"}})", 0,
                      "duplicate key 'a'");
  ExpectHeaderRefused(R"({"__metadata__":{},"__metadata__":{}})", 0,
                      "duplicate key '__metadata__'");
}

TEST_F(SafetensorsTest, RefusesEntriesOfTheWrongForm) {
  ExpectHeaderRefused(R"({"t":1})", 0, "tensor 't'");
  ExpectHeaderRefused(R"({"t":[]})", 0, "tensor 't'");
  ExpectHeaderRefused(R"({"t":null})", 0, "tensor 't'");
  ExpectHeaderRefused(R"({"t":{}})", 0, "lacks dtype, shape or data_offsets");
  ExpectHeaderRefused(Header(R"("dtype":"U8","shape":[2])"), 2, "lacks");
  ExpectHeaderRefused(Header(absl::StrCat(kGood, R"(,"more":1)")), 2,
                      "unknown key 'more'");
  ExpectHeaderRefused(R"({"__metadata__":{"a":1}})", 0, "a number");
  ExpectHeaderRefused(R"({"__metadata__":{"a":{"b":"c"}}})", 0, "an object");
  ExpectHeaderRefused(R"({"__metadata__":"pt"})", 0, "a string");
}

TEST_F(SafetensorsTest, RefusesDeepNesting) {
  ExpectHeaderRefused(
      Header(R"("dtype":"U8","shape":[[2]],"data_offsets":[0,2])"), 2,
      "an array");
  ExpectHeaderRefused(
      Header(R"("dtype":"U8","shape":[{"a":1}],"data_offsets":[0,2])"), 2,
      "an object");
  // A bomb of brackets is stopped at the first that does not belong.
  ExpectHeaderRefused(
      absl::StrCat(R"({"t":{"shape":)", std::string(1'000'000, '[')), 0,
      "an array");
}

TEST_F(SafetensorsTest, RefusesNumbersThatAreNoPlainIntegers) {
  const auto with_shape = [](const std::string& shape) {
    return Header(absl::StrCat(R"("dtype":"U8","shape":[)", shape,
                               R"(],"data_offsets":[0,2])"));
  };
  ExpectHeaderRefused(with_shape("-2"), 2, "negative number -2");
  ExpectHeaderRefused(with_shape("2.0"), 2, "plain non-negative");
  ExpectHeaderRefused(with_shape("2e0"), 2, "plain non-negative");
  ExpectHeaderRefused(with_shape("18446744073709551616"), 2,
                      "plain non-negative");
  ExpectHeaderRefused(with_shape("18446744073709551615"), 2, "overflows");
  ExpectHeaderRefused(with_shape("\"2\""), 2, "a string");
  ExpectHeaderRefused(with_shape("true"), 2, "a boolean");
  ExpectHeaderRefused(with_shape("null"), 2, "null");
  ExpectHeaderRefused(with_shape("02"), 2, "not valid UTF-8 JSON");
  const auto with_offsets = [](const std::string& offsets) {
    return Header(absl::StrCat(R"("dtype":"U8","shape":[2],"data_offsets":[)",
                               offsets, "]"));
  };
  ExpectHeaderRefused(with_offsets("0"), 2, "[begin, end]");
  ExpectHeaderRefused(with_offsets("0,2,2"), 2, "[begin, end]");
  ExpectHeaderRefused(with_offsets("-0,2"), 2, "negative number");
  ExpectHeaderRefused(with_offsets("0,2.0"), 2, "plain non-negative");
}

TEST_F(SafetensorsTest, RefusesUnsupportedDtypes) {
  for (const std::string dtype :
       {"U16", "U32", "U64", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4",
        "F6_E2M3", "f32", "FLOAT", ""}) {
    ExpectHeaderRefused(
        Header(absl::StrCat(R"("dtype":")", dtype,
                            R"(","shape":[2],"data_offsets":[0,2])")),
        2, absl::StrCat("unsupported dtype '", dtype, "'"));
  }
}

TEST_F(SafetensorsTest, RefusesHolesOverlapsAndWrongOrder) {
  const auto two = [](int begin_a, int end_a, int begin_b, int end_b) {
    return absl::StrCat(R"({"a":{"dtype":"U8","shape":[)", end_a - begin_a,
                        R"(],"data_offsets":[)", begin_a, ",", end_a,
                        R"(]},"b":{"dtype":"U8","shape":[)", end_b - begin_b,
                        R"(],"data_offsets":[)", begin_b, ",", end_b, "]}}");
  };
  EXPECT_TRUE(Read(two(2, 4, 0, 2), "abcd").ok());
  ExpectHeaderRefused(two(0, 2, 3, 4), 4, "holes and overlaps");
  ExpectHeaderRefused(two(0, 2, 1, 4), 4, "holes and overlaps");
  ExpectHeaderRefused(two(0, 2, 0, 2), 2, "holes and overlaps");
  ExpectHeaderRefused(two(1, 2, 2, 4), 4, "holes and overlaps");
  ExpectHeaderRefused(
      Header(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])"), 2,
      "holes and overlaps");
}

TEST_F(SafetensorsTest, RefusesWrongSizes) {
  ExpectHeaderRefused(Header(kGood), 1, "truncated");
  ExpectHeaderRefused(Header(kGood), 0, "truncated");
  ExpectHeaderRefused(Header(kGood), 3, "bytes after the last tensor");
  ExpectHeaderRefused("{}", 1, "bytes after the last tensor");
  ExpectHeaderRefused(
      Header(R"("dtype":"F32","shape":[2],"data_offsets":[0,2])"), 2,
      "need 8 bytes, its data_offsets give 2");
  ExpectHeaderRefused(
      Header(R"("dtype":"U8","shape":[0,5],"data_offsets":[0,1])"), 1,
      "need 0 bytes");
  ExpectHeaderRefused(Header(R"("dtype":"U8","shape":[],"data_offsets":[0,0])"),
                      0, "need 1 bytes");
}

TEST_F(SafetensorsTest, RefusesSizesThatOverflow) {
  const auto with_shape = [](const std::string& shape) {
    return Header(absl::StrCat(R"("dtype":"F32","shape":[)", shape,
                               R"(],"data_offsets":[0,4])"));
  };
  ExpectHeaderRefused(with_shape("4611686018427387905"), 4, "overflows");
  ExpectHeaderRefused(with_shape("4294967296,4294967296"), 4, "overflows");
  ExpectHeaderRefused(with_shape("9223372036854775808"), 4, "overflows");
  // 2^62 * 4 is 2^64: zero bytes, were it not checked.
  ExpectHeaderRefused(Header(R"("dtype":"F32","shape":[4611686018427387904],)"
                             R"("data_offsets":[0,0])"),
                      0, "overflows");
  // A zero must not hide the others, whose product becomes a stride.
  ExpectHeaderRefused(
      Header(R"("dtype":"U8","shape":[0,4294967296,4294967296],)"
             R"("data_offsets":[0,0])"),
      0, "overflows");
}

TEST_F(SafetensorsTest, BoundsRankNamesAndTensors) {
  const auto with_rank = [](int rank) {
    std::string shape = "2";
    for (int i = 1; i < rank; ++i) {
      absl::StrAppend(&shape, ",1");
    }
    return Header(absl::StrCat(R"("dtype":"U8","shape":[)", shape,
                               R"(],"data_offsets":[0,2])"));
  };
  EXPECT_TRUE(Read(with_rank(8), "ab").ok());
  ExpectHeaderRefused(with_rank(9), 2, "more than 8 dimensions");
  const auto with_name = [](size_t bytes) {
    return absl::StrCat("{\"", std::string(bytes, 'n'), "\":{", kGood, "}}");
  };
  EXPECT_TRUE(Read(with_name(512), "ab").ok());
  ExpectHeaderRefused(with_name(513), 2, "513 bytes; at most 512");
  std::string many = "{";
  for (int i = 0; i <= 100'000; ++i) {
    absl::StrAppend(&many, i == 0 ? "" : ",", "\"", i,
                    R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  many += "}";
  ExpectHeaderRefused(many, 0, "more than 100000 tensors");
}

TEST_F(SafetensorsTest, RefusesBoolsThatAreNeitherZeroNorOne) {
  const std::string header =
      Header(R"("dtype":"BOOL","shape":[2],"data_offsets":[0,2])");
  EXPECT_TRUE(Read(header, std::string("\x00\x01", 2)).ok());
  ExpectRefused(Read(header, std::string("\x00\x02", 2)), "other than 0 and 1");
}

// Every cut of a good file, and every single changed byte of its header, is
// refused or read; nothing else happens.
TEST_F(SafetensorsTest, SurvivesEveryCutAndEveryChangedByte) {
  const std::string path = folder_.Path("good.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"a.weight", torch::ones({2, 3})},
                                      {"b", torch::ones({4}, torch::kHalf)}})
                  .ok());
  std::ifstream file(path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), {});
  ASSERT_TRUE(ReadBytes(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(ReadBytes(good.substr(0, size)).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << size;
  }
  const size_t data_begin = good.size() - 32;
  for (size_t at = 0; at < data_begin; ++at) {
    for (const char change : {'\x01', '\x20', '\x80'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      const auto read = ReadBytes(bad);
      if (!read.ok()) {
        EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
      }
    }
  }
}

TEST(SafetensorsHeaderTest, SortsByPosition) {
  const auto entries = ParseSafetensorsHeader(
      R"({"b":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},)"
      R"("c":{"dtype":"U8","shape":[0],"data_offsets":[4,4]},)"
      R"("a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}})",
      8);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[1].name, "c");
  EXPECT_EQ((*entries)[2].name, "b");
  EXPECT_EQ((*entries)[2].dtype, SafetensorsDtype::kF16);
}

}  // namespace
}  // namespace ovdiff::engine
