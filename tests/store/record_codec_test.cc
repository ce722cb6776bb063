// Bytes of every record type, and what is refused. The goldens come from
// tests/store/golden/make_goldens.py, which knows store/FORMAT.md only.
#include "store/record_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "store/validation.h"
#include "tests/store/golden_records.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::HasSubstr;

TEST(RecordCodecTest, EveryTypeHasTheDocumentedBytes) {
  for (const GoldenCase& c : GoldenCases()) {
    EXPECT_EQ(absl::BytesToHexString(c.encoded),
              absl::BytesToHexString(c.golden))
        << c.name;
  }
}

TEST(RecordCodecTest, EveryTypeReadsBack) {
  for (const GoldenCase& c : GoldenCases()) {
    const auto again = c.reencode(c.golden);
    ASSERT_TRUE(again.ok()) << c.name << ": " << again.status();
    EXPECT_EQ(*again, c.golden) << c.name;
  }
}

TEST(RecordCodecTest, DecodedSetsEqualTheOriginals) {
  for (const char* name : {"prototype_set_float32", "prototype_set_float16"}) {
    const auto set =
        DecodePrototypeRecord(PrototypeGoldenKey(), ReadGolden(name));
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_EQ(Difference(*set, GoldenPrototypeRecord()), "") << name;
  }
  const auto support =
      DecodeSupportRecord(SupportGoldenKey(), ReadGolden("support_set"));
  ASSERT_TRUE(support.ok()) << support.status();
  EXPECT_EQ(Difference(*support, GoldenSupportRecord()), "");
}

TEST(RecordCodecTest, EveryFlippedBitIsDataLoss) {
  for (const GoldenCase& c : GoldenCases()) {
    for (size_t i = 0; i < c.golden.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = c.golden;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        ASSERT_EQ(c.reencode(damaged).status().code(),
                  absl::StatusCode::kDataLoss)
            << c.name << ", byte " << i << ", bit " << bit;
      }
    }
  }
}

TEST(RecordCodecTest, EveryTruncationAndExtensionIsDataLoss) {
  for (const GoldenCase& c : GoldenCases()) {
    for (size_t size = 0; size < c.golden.size(); ++size) {
      ASSERT_EQ(c.reencode(c.golden.substr(0, size)).status().code(),
                absl::StatusCode::kDataLoss)
          << c.name << " cut to " << size;
    }
    EXPECT_EQ(c.reencode(c.golden + '\0').status().code(),
              absl::StatusCode::kDataLoss)
        << c.name;
  }
}

// Damage behind the hash: what a broken writer could have sealed. Each payload
// byte in turn becomes 0xff and the record is sealed again, so that every
// length, count, kind and level is wrong once. Nothing may crash, hang or
// allocate wildly, and what is accepted must be a record that keeps the rules.
TEST(RecordCodecTest, SealedNonsenseIsRefusedOrHarmless) {
  for (const GoldenCase& c : GoldenCases()) {
    const auto type = static_cast<RecordType>(c.golden[6]);
    const auto payload_type = static_cast<PayloadType>(c.golden[7]);
    const auto format = static_cast<uint16_t>(c.golden[4]);
    const std::string payload = c.golden.substr(kEnvelopeBytes);
    int refused = 0;
    for (size_t i = 0; i < payload.size(); ++i) {
      std::string changed = payload;
      changed[i] = static_cast<char>(changed[i] == '\xff' ? 0x7f : 0xff);
      const auto again =
          c.reencode(SealEnvelope(type, payload_type, changed, format));
      refused += again.ok() ? 0 : 1;
      ASSERT_TRUE(again.ok() || absl::IsDataLoss(again.status()))
          << c.name << ", payload byte " << i << ": " << again.status();
    }
    for (size_t size = 0; size < payload.size(); ++size) {
      ASSERT_TRUE(absl::IsDataLoss(
          c.reencode(SealEnvelope(type, payload_type, payload.substr(0, size),
                                  format))
              .status()))
          << c.name << ", payload cut to " << size;
    }
    ASSERT_TRUE(absl::IsDataLoss(
        c.reencode(SealEnvelope(type, payload_type, payload + "x", format))
            .status()))
        << c.name;
    EXPECT_TRUE(refused > 0 || c.name == "store_format") << c.name;
  }
}

TEST(RecordCodecTest, ANewerFormatIsToldFromDamage) {
  const std::string newer = ReadGolden("label_of_format_2");
  const absl::Status status = DecodeLabel(kShop, "sky", newer).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("format 2"));
  EXPECT_THAT(status.message(), HasSubstr("up to format 1"));
  std::string damaged = newer;
  damaged.back() ^= 1;
  EXPECT_EQ(DecodeLabel(kShop, "sky", damaged).status().code(),
            absl::StatusCode::kDataLoss);
}

// Format 1 for what fits into it, 2 for the rest, and nothing newer.
TEST(RecordCodecTest, SupportSetsHaveTheOldestFormatThatHoldsThem) {
  const ContentKey key = SupportGoldenKey();
  constexpr auto kType = PayloadType::kFloat32;
  const std::string masked = ReadGolden("support_set_masked");
  EXPECT_EQ(EncodeSupportRecord(key, GoldenSupportRecord(), kType)[4], 1);
  EXPECT_EQ(EncodeSupportRecord(key, MaskedSupportRecord(), kType)[4], 2);
  const std::string payload = masked.substr(kEnvelopeBytes);
  const auto status = [&](uint16_t format) {
    return DecodeSupportRecord(key, SealEnvelope(RecordType::kSupportSet, kType,
                                                 payload, format))
        .status();
  };
  EXPECT_TRUE(status(2).ok());
  EXPECT_EQ(status(1).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status(3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status(3).message(), HasSubstr("up to format 2"));
  const auto decoded = DecodeSupportRecord(key, masked);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(Difference(*decoded, MaskedSupportRecord()), "");
}

TEST(RecordCodecTest, PicturesOfNegativesComeAfterTheClasssInOrder) {
  SupportRecord record = MaskedSupportRecord();
  EXPECT_TRUE(ValidateSupportRecord(record).ok());
  std::swap(record.pictures[1], record.pictures[2]);
  EXPECT_THAT(ValidateSupportRecord(record).message(), HasSubstr("in order"));
  std::swap(record.pictures[0], record.pictures[1]);
  EXPECT_THAT(ValidateSupportRecord(record).message(), HasSubstr("first"));
}

TEST(RecordCodecTest, EnvelopesThatLieAreRefused) {
  const std::string payload = ReadGolden("label").substr(kEnvelopeBytes);
  const auto code = [](const std::string& record) {
    return DecodeLabel(kShop, "sky", record).status().code();
  };
  constexpr auto kNone = PayloadType::kNone;
  EXPECT_EQ(code(SealEnvelope(RecordType::kLabel, kNone, payload)),
            absl::StatusCode::kOk);
  EXPECT_EQ(code(SealEnvelope(RecordType::kJob, kNone, payload)),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(SealEnvelope(RecordType::kLabel, kNone, payload, 0)),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(SealEnvelope(RecordType::kLabel, static_cast<PayloadType>(3),
                              payload)),
            absl::StatusCode::kDataLoss);
  // A set whose floats have no type.
  EXPECT_EQ(DecodePrototypeRecord(
                PrototypeGoldenKey(),
                SealEnvelope(
                    RecordType::kPrototypeSet, kNone,
                    ReadGolden("prototype_set_float32").substr(kEnvelopeBytes)))
                .status()
                .code(),
            absl::StatusCode::kDataLoss);
}

TEST(RecordCodecTest, RecordsUnderAnotherKeyAreRefused) {
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  const ContentKey other = TestDigest("other");
  const VocabularyId shop2 = {.project = "default", .name = "shop2"};
  EXPECT_EQ(DecodePrototypeRecord(other, ReadGolden("prototype_set_float32"))
                .status()
                .code(),
            kDataLoss);
  EXPECT_EQ(
      DecodeSupportRecord(other, ReadGolden("support_set")).status().code(),
      kDataLoss);
  EXPECT_EQ(
      DecodeContentEntry(other, ReadGolden("content_entry")).status().code(),
      kDataLoss);
  EXPECT_EQ(DecodeVocabularyHead(shop2, ReadGolden("vocabulary_head"))
                .status()
                .code(),
            kDataLoss);
  EXPECT_EQ(DecodeVersionRecord(shop2, 1, ReadGolden("version_whole"))
                .status()
                .code(),
            kDataLoss);
  EXPECT_EQ(DecodeVersionRecord(kShop, 2, ReadGolden("version_whole"))
                .status()
                .code(),
            kDataLoss);
  EXPECT_EQ(DecodeLabel(kShop, "sea", ReadGolden("label")).status().code(),
            kDataLoss);
  EXPECT_EQ(DecodeJob("job-2", ReadGolden("job")).status().code(), kDataLoss);
}

TEST(RecordCodecTest, Float16HalvesTheVectors) {
  const PrototypeRecord record = MakePrototypeRecord(1, 64, 30);
  const ContentKey key = KeyOf(record);
  size_t num_values = 0;
  for (const FeatureSpacePrototypes& space : record.set.spaces) {
    num_values +=
        space.foreground.values.size() + space.background.values.size();
  }
  const std::string wide =
      EncodePrototypeRecord(key, record, PayloadType::kFloat32);
  const std::string narrow =
      EncodePrototypeRecord(key, record, PayloadType::kFloat16);
  EXPECT_EQ(wide.size() - narrow.size(), 2 * num_values);
}

}  // namespace
}  // namespace ovdiff::store
