// Bytes of every record type, and what is refused. The goldens come from
// tests/store/golden/make_goldens.py, which knows store/FORMAT.md only.
#include "store/record_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "store/validation.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::HasSubstr;

const VocabularyId kShop = {.project = "default", .name = "shop"};
constexpr int64_t kNanos = 1'700'000'000'123'456'789;

std::string ReadGolden(const std::string& name) {
  const std::string path =
      absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/store/golden/", name, ".hex");
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return absl::HexStringToBytes(absl::StrReplaceAll(text.str(), {{"\n", ""}}));
}

absl::Time At(int64_t offset = 0) {
  return absl::FromUnixNanos(kNanos + offset);
}

PrototypeRecord GoldenPrototypeRecord() {
  using enum PrototypeLevel;
  PrototypeRecord record;
  record.prompt = "red sneaker";
  record.generator_fingerprint = TestDigest("generator");
  record.encoder_fingerprint = TestDigest("encoder");
  record.create_time = At();
  FeatureSpacePrototypes sd;
  sd.space = "sd";
  sd.dim = 2;
  sd.foreground = {{1.5f, -2.25f, 0.125f, 3.0f, -0.0f, 100.0f},
                   {kClass, kInstance, kPart},
                   {-1, 0, 31}};
  sd.background = {{-1.0f, 0.5f}, {kClass}, {-1}};
  FeatureSpacePrototypes dino;
  dino.space = "dino";
  dino.dim = 1;
  dino.foreground = {{0.75f}, {kPart}, {7}};
  record.set.spaces = {sd, dino};
  return record;
}

SupportRecord GoldenSupportRecord() {
  SupportRecord record;
  record.prompt = "red sneaker";
  record.generator_fingerprint = TestDigest("generator");
  record.create_time = At();
  record.pictures.resize(2);
  record.pictures[0].png = std::string("\x89PNG\0one", 8);
  record.pictures[0].attribution_width = 2;
  record.pictures[0].attribution_height = 1;
  record.pictures[0].attribution = {0.0f, 0.625f};
  record.pictures[1].png = std::string("\x89PNG\0two", 8);
  return record;
}

ContentKey PrototypeGoldenKey() { return KeyOf(GoldenPrototypeRecord()); }
ContentKey SupportGoldenKey() { return KeyOf(GoldenSupportRecord()); }

ClassEntry GoldenClass(const std::string& name, ClassKind kind,
                       uint16_t label) {
  return {.name = name,
          .prompt = "red sneaker",
          .kind = kind,
          .label = label,
          .prototype_key = PrototypeGoldenKey(),
          .support_key = SupportGoldenKey(),
          .add_time = At(label)};
}

VersionRecord WholeVersion() {
  return {.id = kShop,
          .version = 1,
          .create_time = At(),
          .removed_labels = {},
          .classes = {GoldenClass("Red Sneaker", ClassKind::kThing, 1),
                      GoldenClass("sky", ClassKind::kStuff, 258)}};
}

VersionRecord DifferenceVersion() {
  return {.id = kShop,
          .version = 12,
          .base_version = 1,
          .create_time = At(),
          .removed_labels = {1, 258},
          .classes = {GoldenClass("h\xc3\xb6hle", ClassKind::kThing, 300)}};
}

// One record type: its golden bytes, what we encode, and how it is decoded and
// encoded again.
struct Case {
  std::string name;
  std::string golden;
  std::string encoded;
  std::function<absl::StatusOr<std::string>(absl::string_view)> reencode;
};

template <typename Decoded, typename Encode>
absl::StatusOr<std::string> Then(const absl::StatusOr<Decoded>& decoded,
                                 Encode encode) {
  if (!decoded.ok()) {
    return decoded.status();
  }
  return encode(*decoded);
}

Case PrototypeCase(const std::string& name, PayloadType type) {
  const ContentKey key = PrototypeGoldenKey();
  return {name, ReadGolden(name),
          EncodePrototypeRecord(key, GoldenPrototypeRecord(), type),
          [=](absl::string_view bytes) {
            return Then(DecodePrototypeRecord(key, bytes),
                        [=](const PrototypeRecord& record) {
                          return EncodePrototypeRecord(key, record, type);
                        });
          }};
}

Case SupportCase() {
  const ContentKey key = SupportGoldenKey();
  constexpr auto kType = PayloadType::kFloat32;
  return {"support_set", ReadGolden("support_set"),
          EncodeSupportRecord(key, GoldenSupportRecord(), kType),
          [=](absl::string_view bytes) {
            return Then(DecodeSupportRecord(key, bytes),
                        [=](const SupportRecord& record) {
                          return EncodeSupportRecord(key, record, kType);
                        });
          }};
}

SupportRecord MaskedSupportRecord() {
  SupportRecord record = GoldenSupportRecord();
  record.pictures[1].mask_png = std::string("\x89PNG\0mask", 9);
  SupportPictureRecord& negative = record.pictures.emplace_back();
  negative.png = std::string("\x89PNG\0not", 8);
  negative.attribution_width = 1;
  negative.attribution_height = 1;
  negative.attribution = {0.5f};
  negative.negative = 2;
  return record;
}

Case MaskedSupportCase() {
  const ContentKey key = SupportGoldenKey();
  constexpr auto kType = PayloadType::kFloat32;
  return {"support_set_masked", ReadGolden("support_set_masked"),
          EncodeSupportRecord(key, MaskedSupportRecord(), kType),
          [=](absl::string_view bytes) {
            return Then(DecodeSupportRecord(key, bytes),
                        [=](const SupportRecord& record) {
                          return EncodeSupportRecord(key, record, kType);
                        });
          }};
}

Case VersionCase(const std::string& name, const VersionRecord& record) {
  return {name, ReadGolden(name), EncodeVersionRecord(record),
          [version = record.version](absl::string_view bytes) {
            return Then(DecodeVersionRecord(kShop, version, bytes),
                        EncodeVersionRecord);
          }};
}

std::vector<Case> SmallCases() {
  const ContentEntry entry = {.key = PrototypeGoldenKey(),
                              .record_bytes = 4'600'000,
                              .create_time = At()};
  const VocabularyHead head = {.id = kShop,
                               .version = 12,
                               .create_time = At(),
                               .num_classes = 2,
                               .last_label = 300};
  return {
      {"store_format", ReadGolden("store_format"),
       EncodeStoreFormat({.create_time = At()}),
       [](absl::string_view bytes) {
         return Then(DecodeStoreFormat(bytes), EncodeStoreFormat);
       }},
      {"content_entry", ReadGolden("content_entry"), EncodeContentEntry(entry),
       [](absl::string_view bytes) {
         return Then(DecodeContentEntry(PrototypeGoldenKey(), bytes),
                     EncodeContentEntry);
       }},
      {"vocabulary_head", ReadGolden("vocabulary_head"),
       EncodeVocabularyHead(head),
       [](absl::string_view bytes) {
         return Then(DecodeVocabularyHead(kShop, bytes), EncodeVocabularyHead);
       }},
      {"label", ReadGolden("label"), EncodeLabel(kShop, "sky", 258),
       [](absl::string_view bytes) {
         return Then(DecodeLabel(kShop, "sky", bytes), [](uint16_t label) {
           return EncodeLabel(kShop, "sky", label);
         });
       }},
      {"job", ReadGolden("job"),
       EncodeJob("job-1", absl::string_view("\0\1bytes", 7)),
       [](absl::string_view bytes) {
         return Then(DecodeJob("job-1", bytes), [](const std::string& job) {
           return EncodeJob("job-1", job);
         });
       }},
  };
}

const std::vector<Case>& AllCases() {
  static const auto* const cases = [] {
    auto* all = new std::vector<Case>(SmallCases());
    all->push_back(
        PrototypeCase("prototype_set_float32", PayloadType::kFloat32));
    all->push_back(
        PrototypeCase("prototype_set_float16", PayloadType::kFloat16));
    all->push_back(SupportCase());
    all->push_back(MaskedSupportCase());
    all->push_back(VersionCase("version_whole", WholeVersion()));
    all->push_back(VersionCase("version_difference", DifferenceVersion()));
    return all;
  }();
  return *cases;
}

TEST(RecordCodecTest, EveryTypeHasTheDocumentedBytes) {
  for (const Case& c : AllCases()) {
    EXPECT_EQ(absl::BytesToHexString(c.encoded),
              absl::BytesToHexString(c.golden))
        << c.name;
  }
}

TEST(RecordCodecTest, EveryTypeReadsBack) {
  for (const Case& c : AllCases()) {
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
  for (const Case& c : AllCases()) {
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
  for (const Case& c : AllCases()) {
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
  for (const Case& c : AllCases()) {
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
