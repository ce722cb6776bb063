#include "store/keys.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

const VocabularyId kShop = {.project = "p", .name = "shop"};

// From tests/store/golden/make_goldens.py: PROTOTYPE_KEY and SUPPORT_KEY.
constexpr char kPrototypeHex[] =
    "976df6af05424c360120d35c5ffc7b23a26891f3dc005752048b4d09ea8ba0bd";
constexpr char kSupportHex[] =
    "52b973723a7293cc310f1d043396dc2500f2d26eec56e4d16f70e131f9ed2f2e";

TEST(KeysTest, ContentKeysAreFrozen) {
  EXPECT_EQ(ToHex(PrototypeKey("red sneaker", TestDigest("generator"),
                               TestDigest("encoder"))),
            kPrototypeHex);
  EXPECT_EQ(ToHex(SupportKey("red sneaker", TestDigest("generator"))),
            kSupportHex);
}

TEST(KeysTest, ContentKeysDependOnEveryPart) {
  const Sha256Digest a = TestDigest("a");
  const Sha256Digest b = TestDigest("b");
  const std::set<ContentKey> keys = {
      PrototypeKey("dog", a, a), PrototypeKey("dogs", a, a),
      PrototypeKey("dog", b, a), PrototypeKey("dog", a, b),
      PrototypeKey("", a, a),    SupportKey("dog", a),
      SupportKey("dog", b),      SupportKey("", a)};
  EXPECT_EQ(keys.size(), 8U);
}

TEST(KeysTest, TableKeysHaveTheDocumentedBytes) {
  using std::string_literals::operator""s;
  EXPECT_EQ(HeadKey(kShop), "Hp\0shop"s);
  EXPECT_EQ(HeadPrefix("p"), "Hp\0"s);
  EXPECT_EQ(VersionKey(kShop, 0x0102), "Vp\0shop\0\0\0\0\0\0\0\x01\x02"s);
  EXPECT_EQ(LabelKey(kShop, "red dog"), "Lp\0shop\0red dog"s);
  const ContentKey key = TestDigest("x");
  const std::string bytes(reinterpret_cast<const char*>(key.data()), 32);
  EXPECT_EQ(ContentTableKey(key), bytes);
  EXPECT_EQ(PrototypeEntryKey(key), "P" + bytes);
  EXPECT_EQ(SupportEntryKey(key), "S" + bytes);
}

TEST(KeysTest, VersionKeysSortAsNumbers) {
  for (const int64_t version :
       {int64_t{1}, int64_t{255}, int64_t{65535}, int64_t{1} << 40}) {
    EXPECT_LT(VersionKey(kShop, version), VersionKey(kShop, version + 1));
  }
}

TEST(KeysTest, HeadKeysReadBack) {
  const auto id = ParseHeadKey(HeadKey(kShop));
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->project, "p");
  EXPECT_EQ(id->name, "shop");
  for (const char* bad : {"", "H", "Hshop", "Xp"}) {
    EXPECT_EQ(ParseHeadKey(bad).status().code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace ovdiff::store
