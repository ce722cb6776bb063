#include "tests/store/golden_records.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "store/record_codec.h"

namespace ovdiff::store {
namespace {

constexpr int64_t kNanos = 1'700'000'000'123'456'789;

absl::Time At(int64_t offset = 0) {
  return absl::FromUnixNanos(kNanos + offset);
}

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

template <typename Decoded, typename Encode>
absl::StatusOr<std::string> Then(const absl::StatusOr<Decoded>& decoded,
                                 Encode encode) {
  if (!decoded.ok()) {
    return decoded.status();
  }
  return encode(*decoded);
}

GoldenCase PrototypeCase(const std::string& name, PayloadType type) {
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

GoldenCase SupportCase(const std::string& name, const SupportRecord& record) {
  const ContentKey key = SupportGoldenKey();
  constexpr auto kType = PayloadType::kFloat32;
  return {name, ReadGolden(name), EncodeSupportRecord(key, record, kType),
          [=](absl::string_view bytes) {
            return Then(DecodeSupportRecord(key, bytes),
                        [=](const SupportRecord& decoded) {
                          return EncodeSupportRecord(key, decoded, kType);
                        });
          }};
}

GoldenCase VersionCase(const std::string& name, const VersionRecord& record) {
  return {name, ReadGolden(name), EncodeVersionRecord(record),
          [version = record.version](absl::string_view bytes) {
            return Then(DecodeVersionRecord(kShop, version, bytes),
                        EncodeVersionRecord);
          }};
}

std::vector<GoldenCase> SmallCases() {
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

}  // namespace

std::string ReadGolden(const std::string& name) {
  const std::string path =
      absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/store/golden/", name, ".hex");
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return absl::HexStringToBytes(absl::StrReplaceAll(text.str(), {{"\n", ""}}));
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

ContentKey PrototypeGoldenKey() { return KeyOf(GoldenPrototypeRecord()); }
ContentKey SupportGoldenKey() { return KeyOf(GoldenSupportRecord()); }

const std::vector<GoldenCase>& GoldenCases() {
  static const auto* const cases = [] {
    auto* all = new std::vector<GoldenCase>(SmallCases());
    all->push_back(
        PrototypeCase("prototype_set_float32", PayloadType::kFloat32));
    all->push_back(
        PrototypeCase("prototype_set_float16", PayloadType::kFloat16));
    all->push_back(SupportCase("support_set", GoldenSupportRecord()));
    all->push_back(SupportCase("support_set_masked", MaskedSupportRecord()));
    all->push_back(VersionCase("version_whole", WholeVersion()));
    all->push_back(VersionCase("version_difference", DifferenceVersion()));
    return all;
  }();
  return *cases;
}

}  // namespace ovdiff::store
