#include "client/pack_signature.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <numeric>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::client {
namespace {

using ::testing::HasSubstr;

// Made by tests/store/pack/golden/make_goldens.py, which knows neither OpenSSL
// nor this code.
std::string ReadGolden(const std::string& name) {
  std::ifstream file(absl::StrCat(OVDIFF_SOURCE_DIR,
                                  "/tests/store/pack/golden/", name, ".hex"));
  std::string bytes;
  std::string line;
  while (std::getline(file, line)) {
    bytes += absl::HexStringToBytes(line);
  }
  EXPECT_FALSE(bytes.empty());
  return bytes;
}

class PackSignatureTest : public ::testing::Test {
 protected:
  PackSignatureTest() {
    // PKCS #8 (RFC 8410) of the golden's key: the bytes 0 to 31.
    std::string seed(32, '\0');
    std::iota(seed.begin(), seed.end(), '\0');
    const std::string der =
        absl::HexStringToBytes("302e020100300506032b657004220420") + seed;
    std::ofstream(key_path_)
        << "-----BEGIN PRIVATE KEY-----\n"
        << absl::Base64Escape(der) << "\n-----END PRIVATE KEY-----\n";
  }
  ~PackSignatureTest() override { std::remove(key_path_.c_str()); }

  const std::string key_path_ =
      absl::StrCat(::testing::TempDir(), "/ovdiff_key_", getpid(), ".pem");
};

TEST_F(PackSignatureTest, AppendedToThePackItIsTheSignedPack) {
  const std::string pack = ReadGolden("class_pack");
  PackDigest passing;
  for (size_t i = 0; i < pack.size(); i += 7) {
    passing.Update(absl::string_view(pack).substr(i, 7));
  }
  EXPECT_EQ(passing.num_bytes(), static_cast<int64_t>(pack.size()));
  const auto digest = passing.Finish();
  ASSERT_TRUE(digest.ok()) << digest.status();
  const auto signature = SignPack(*digest, key_path_);
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_EQ(Hex(pack + *signature), Hex(ReadGolden("class_pack_signed")));
  const auto key = ReadPublicKey(key_path_);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(signature->substr(57, 32), *key);
}

TEST_F(PackSignatureTest, APackThatIsNotWholeHasNoDigest) {
  const std::string pack = ReadGolden("class_pack");
  for (size_t size = 0; size < pack.size(); size += 13) {
    PackDigest passing;
    passing.Update(absl::string_view(pack).substr(0, size));
    EXPECT_EQ(passing.Finish().status().code(), absl::StatusCode::kDataLoss);
  }
  std::string flipped = pack;
  flipped[100] ^= 1;
  PackDigest passing;
  passing.Update(flipped);
  EXPECT_FALSE(passing.Finish().ok());
}

TEST_F(PackSignatureTest, WhatIsNoKeyIsSaid) {
  const auto missing = SignPack(std::string(32, 'x'), "/no/such/key.pem");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("/no/such/key.pem"));
  std::ofstream(key_path_) << "not a key\n";
  EXPECT_FALSE(SignPack(std::string(32, 'x'), key_path_).ok());
  EXPECT_FALSE(ReadPublicKey(key_path_).ok());
}

}  // namespace
}  // namespace ovdiff::client
