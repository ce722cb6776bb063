#include "engine/base/sha256.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff {
namespace {

using ::testing::HasSubstr;

// Vectors of FIPS 180-2, appendix B.
TEST(Sha256Test, KnownVectors) {
  EXPECT_EQ(ToHex(Sha256Of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256Of(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesHashAsTheWhole) {
  Sha256 hash;
  hash.Update("a");
  hash.Update("");
  hash.Update("bc");
  EXPECT_EQ(hash.Finish(), Sha256Of("abc"));
}

TEST(Sha256Test, FieldsDoNotRunIntoEachOther) {
  const auto of_fields = [](const std::string& first,
                            const std::string& second) {
    Sha256 hash;
    hash.UpdateField(first);
    hash.UpdateField(second);
    return hash.Finish();
  };
  EXPECT_NE(of_fields("ab", "c"), of_fields("a", "bc"));
  EXPECT_NE(of_fields("", "a"), of_fields("a", ""));
  EXPECT_EQ(of_fields("ab", "c"), of_fields("ab", "c"));
  // The layout is in content keys on disk: eight bytes of length, then bytes.
  EXPECT_EQ(of_fields("ab", ""),
            Sha256Of(std::string("\x02\0\0\0\0\0\0\0ab\0\0\0\0\0\0\0\0", 18)));
}

TEST(Sha256Test, HexGoesBothWays) {
  const Sha256Digest digest = Sha256Of("abc");
  EXPECT_EQ(Sha256FromHex(ToHex(digest)).value(), digest);
  std::string upper = ToHex(digest);
  for (char& c : upper) {
    c = static_cast<char>(toupper(c));
  }
  EXPECT_EQ(Sha256FromHex(upper).value(), digest);
  for (const std::string& bad :
       {std::string(), std::string(63, '0'), std::string(65, '0'),
        std::string(63, '0') + "g"}) {
    EXPECT_EQ(Sha256FromHex(bad).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(Sha256Test, HashesFiles) {
  std::string folder =
      (std::filesystem::temp_directory_path() / "ovdiff_sha256_XXXXXX")
          .string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/file";
  // Longer than one buffer, so that reading in pieces is seen.
  const std::string bytes((size_t{3} << 20) + 1, 'x');
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(Sha256OfFile(path).value(), Sha256Of(bytes));
  const auto missing = Sha256OfFile(folder + "/none");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/none"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ovdiff
