#include <fstream>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/pack/pack_exporter.h"
#include "store/pack/pack_reader.h"
#include "store/record_codec.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::HasSubstr;

std::string ReadGolden(const std::string& name) {
  std::ifstream file(absl::StrCat(OVDIFF_SOURCE_DIR,
                                  "/tests/store/pack/golden/", name, ".hex"));
  std::string bytes;
  std::string line;
  while (std::getline(file, line)) {
    bytes += absl::HexStringToBytes(line);
  }
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

PrototypeRecord GoldenSet(const std::string& prompt,
                          const std::vector<float>& values) {
  PrototypeRecord record;
  record.prompt = prompt;
  record.generator_fingerprint = TestDigest("generator");
  record.encoder_fingerprint = TestDigest("encoder");
  record.create_time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  FeatureSpacePrototypes& sd = record.set.spaces.emplace_back();
  sd.space = "sd";
  sd.dim = 2;
  sd.foreground = {
      values, {PrototypeLevel::kClass, PrototypeLevel::kPart}, {-1, 1}};
  sd.background = {{0.5f, -0.5f}, {PrototypeLevel::kClass}, {-1}};
  return record;
}

ClassEntry EntryOf(const std::string& name, const PrototypeRecord& set,
                   uint16_t label) {
  ClassEntry entry;
  entry.name = name;
  entry.prompt = set.prompt;
  entry.label = label;
  entry.prototype_key = KeyOf(set);
  entry.support_key = SupportKey(set.prompt, set.generator_fingerprint);
  return entry;
}

// What golden/make_goldens.py packs, in a store.
struct Golden {
  Golden() {
    SupportRecord support;
    support.prompt = sneaker.prompt;
    support.generator_fingerprint = sneaker.generator_fingerprint;
    support.create_time = sneaker.create_time;
    support.pictures.push_back(
        {std::string("\x89PNG\0one", 8), 2, 1, {0.0f, 0.625f}, "", 0});
    EXPECT_TRUE(store->PutPrototypeSet(KeyOf(sneaker), sneaker).ok());
    EXPECT_TRUE(store->PutPrototypeSet(KeyOf(sky), sky).ok());
    EXPECT_TRUE(store->PutSupportSet(KeyOf(support), support).ok());
    vocabulary.id.name = "shop";
    vocabulary.version = 12;
    vocabulary.create_time = sneaker.create_time;
    vocabulary.classes = {EntryOf("Red Sneaker", sneaker, 1),
                          EntryOf("höhle", sky, 258),
                          EntryOf("Trainers", sneaker, 300)};
    vocabulary.classes[1].kind = ClassKind::kStuff;
  }

  const PrototypeRecord sneaker =
      GoldenSet("red sneaker", {1.5f, -2.25f, 0.125f, 3.0f});
  const PrototypeRecord sky = GoldenSet("sky", {0.1f, -2.25f, 65536.0f, 3.0f});
  const std::unique_ptr<PrototypeStore> store = NewInMemoryStore();
  Vocabulary vocabulary;
  ExportOptions options{.pictures = true,
                        .program = "ovdiffd 0.1.0",
                        .bundle = "demo",
                        .bundle_license = "MIT",
                        .license = "CC-BY-4.0"};
};

absl::StatusOr<std::string> Export(const PrototypeStore& store,
                                   const Vocabulary& vocabulary,
                                   const ExportOptions& options) {
  PackExporter exporter(store, vocabulary, options);
  std::string bytes;
  while (true) {
    auto piece = exporter.Next();
    if (!piece.ok()) {
      return piece.status();
    }
    if (piece->empty()) {
      return bytes;
    }
    bytes += *piece;
  }
}

absl::StatusOr<VerifiedPack> Verify(absl::string_view bytes) {
  return VerifyPack(SourceOf(bytes),
                    [](const PackItem&) { return absl::OkStatus(); });
}

TEST(ClassPackTest, IsTheBytesOfTheFormat) {
  const Golden golden;
  const auto bytes = Export(*golden.store, golden.vocabulary, golden.options);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(absl::BytesToHexString(*bytes),
            absl::BytesToHexString(ReadGolden("class_pack")));
}

TEST(ClassPackTest, ReadsTheBytesOfTheFormat) {
  const Golden golden;
  const std::string bytes = ReadGolden("class_pack");
  auto reader = PackReader::Open(SourceOf(bytes));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const PackManifest& manifest = (*reader)->manifest();
  EXPECT_EQ(manifest.vocabulary, "shop");
  EXPECT_EQ(manifest.version, 12);
  EXPECT_EQ(manifest.create_time, golden.vocabulary.create_time);
  EXPECT_EQ(manifest.program, "ovdiffd 0.1.0");
  EXPECT_EQ(manifest.bundle, "demo");
  EXPECT_EQ(manifest.bundle_license, "MIT");
  EXPECT_EQ(manifest.license, "CC-BY-4.0");
  ASSERT_EQ(manifest.classes.size(), 3u);
  EXPECT_EQ(manifest.classes[1].name, "höhle");
  EXPECT_EQ(manifest.classes[1].kind, ClassKind::kStuff);
  EXPECT_EQ(manifest.classes[1].label, 258);
  EXPECT_FALSE(manifest.classes[1].has_pictures);
  EXPECT_TRUE(manifest.classes[2].has_pictures);

  auto sneaker = (*reader)->Next();
  ASSERT_TRUE(sneaker.ok() && sneaker->has_value()) << sneaker.status();
  EXPECT_EQ(
      Difference(std::get<PrototypeRecord>((*sneaker)->record), golden.sneaker),
      "");
  auto pictures = (*reader)->Next();
  ASSERT_TRUE(pictures.ok() && pictures->has_value()) << pictures.status();
  const auto stored =
      golden.store->GetSupportSet(golden.vocabulary.classes[0].support_key);
  EXPECT_EQ(Difference(std::get<SupportRecord>((*pictures)->record), *stored),
            "");
  auto sky = (*reader)->Next();
  ASSERT_TRUE(sky.ok() && sky->has_value()) << sky.status();
  EXPECT_EQ(Difference(std::get<PrototypeRecord>((*sky)->record), golden.sky),
            "");
  const auto end = (*reader)->Next();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value());
  EXPECT_FALSE((*reader)->signature().has_value());
  EXPECT_EQ((*reader)->num_bytes(), bytes.size());
}

TEST(ClassPackTest, ASignatureOfAnotherImplementationHolds) {
  const auto pack = Verify(ReadGolden("class_pack_signed"));
  ASSERT_TRUE(pack.ok()) << pack.status();
  ASSERT_TRUE(pack->signed_by.has_value());
  EXPECT_EQ(pack->signed_by->front(), 0x03);
  EXPECT_EQ(pack->digest, Verify(ReadGolden("class_pack"))->digest);
}

TEST(ClassPackTest, AFlippedBitAnywhereIsRefused) {
  const std::string bytes = ReadGolden("class_pack_signed");
  ASSERT_TRUE(Verify(bytes).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int mask : {0x01, 0x80, 0xff}) {
      std::string harmed = bytes;
      harmed[i] = static_cast<char>(harmed[i] ^ mask);
      EXPECT_FALSE(Verify(harmed).ok()) << "byte " << i << " xor " << mask;
    }
  }
}

TEST(ClassPackTest, APackCutShortAnywhereIsRefused) {
  const std::string bytes = ReadGolden("class_pack_signed");
  const size_t unsigned_size = ReadGolden("class_pack").size();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto pack = Verify(absl::string_view(bytes).substr(0, size));
    // Without its signature a pack is whole, and says that it is not signed.
    EXPECT_EQ(pack.ok(), size == unsigned_size) << size;
    EXPECT_TRUE(!pack.ok() || !pack->signed_by.has_value());
  }
}

TEST(ClassPackTest, AnythingAfterTheEndIsRefused) {
  for (const std::string name : {"class_pack", "class_pack_signed"}) {
    const std::string bytes = ReadGolden(name);
    for (const std::string& more :
         {std::string(1, '\0'), std::string("x"), bytes, std::string(153, 's'),
          std::string(200, '\0')}) {
      EXPECT_EQ(Verify(bytes + more).status().code(),
                absl::StatusCode::kDataLoss)
          << name << " and " << more.size() << " bytes";
    }
  }
}

TEST(ClassPackTest, ANewerFormatIsRefusedWithBothNumbers) {
  const absl::Status status =
      Verify(ReadGolden("class_pack_of_format_2")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 2"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 1"));
}

TEST(ClassPackTest, ASignatureOfAnotherPackDoesNotHold) {
  Golden golden;
  golden.options.license = "other";
  const auto other = Export(*golden.store, golden.vocabulary, golden.options);
  const std::string bytes = ReadGolden("class_pack_signed");
  const std::string signature = bytes.substr(ReadGolden("class_pack").size());
  EXPECT_THAT(std::string(Verify(*other + signature).status().message()),
              HasSubstr("does not hold"));
}

TEST(ClassPackTest, WithoutPicturesTheyAreNotThere) {
  Golden golden;
  golden.options.pictures = false;
  const auto bytes = Export(*golden.store, golden.vocabulary, golden.options);
  ASSERT_TRUE(bytes.ok());
  int num_supports = 0;
  const auto pack = VerifyPack(SourceOf(*bytes), [&](const PackItem& item) {
    num_supports += std::holds_alternative<SupportRecord>(item.record) ? 1 : 0;
    return absl::OkStatus();
  });
  ASSERT_TRUE(pack.ok()) << pack.status();
  EXPECT_EQ(num_supports, 0);
  EXPECT_FALSE(pack->manifest.classes[0].has_pictures);
  EXPECT_EQ(pack->fingerprints[2].encoder, TestDigest("encoder"));
}

TEST(ClassPackTest, AnInspectorsRefusalEndsTheReading) {
  int seen = 0;
  const auto pack =
      VerifyPack(SourceOf(ReadGolden("class_pack")), [&](const PackItem&) {
        ++seen;
        return absl::CancelledError("enough");
      });
  EXPECT_EQ(pack.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen, 1);
}

TEST(ClassPackTest, ASetThatIsGoneMakesNoPack) {
  Golden golden;
  golden.vocabulary.classes[1].prototype_key = TestDigest("nothing");
  const auto bytes = Export(*golden.store, golden.vocabulary, golden.options);
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(bytes.status().message()), HasSubstr("höhle"));
}

// A forger computes all hashes anew. The set under a key must still be one of
// that key's prompt and networks.
TEST(ClassPackTest, ASetUnderAKeyThatIsNotItsOwnIsRefused) {
  Golden golden;
  PrototypeRecord forged = golden.sky;
  const ContentKey key = TestDigest("another key");
  ASSERT_TRUE(golden.store->PutPrototypeSet(key, forged).ok());
  golden.vocabulary.classes[1].prototype_key = key;
  auto bytes = Export(*golden.store, golden.vocabulary, golden.options);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(Verify(*bytes).status().code(), absl::StatusCode::kDataLoss);

  // A class that claims another prompt than its set's.
  golden.vocabulary.classes[1] = EntryOf("sky", golden.sky, 258);
  golden.vocabulary.classes[1].prompt = "sea";
  bytes = Export(*golden.store, golden.vocabulary, golden.options);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(Verify(*bytes).status().code(), absl::StatusCode::kDataLoss);

  // Also where the set is another class's.
  golden.vocabulary.classes[1] = EntryOf("sky", golden.sneaker, 258);
  golden.vocabulary.classes[1].prompt = "sky";
  bytes = Export(*golden.store, golden.vocabulary, golden.options);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(Verify(*bytes).status().code(), absl::StatusCode::kDataLoss);
}

// Each record is held, and none but the biggest: what makes packs of gigabytes
// possible.
TEST(ClassPackTest, PiecesAreRecordsAndRecordsAreReadOneByOne) {
  const std::unique_ptr<PrototypeStore> store = NewInMemoryStore();
  Vocabulary vocabulary;
  vocabulary.id.name = "big";
  vocabulary.version = 1;
  size_t biggest_set = 0;
  for (int i = 1; i <= 20; ++i) {
    const PrototypeRecord set = MakePrototypeRecord(i, /*dim=*/700);
    ASSERT_TRUE(store->PutPrototypeSet(KeyOf(set), set).ok());
    vocabulary.classes.push_back(
        EntryOf(absl::StrCat("class ", i), set, static_cast<uint16_t>(i)));
    biggest_set = std::max(
        biggest_set,
        EncodePrototypeRecord(KeyOf(set), set, PayloadType::kFloat32).size());
  }
  PackExporter exporter(*store, vocabulary, {});
  std::string bytes;
  for (auto piece = exporter.Next(); !piece->empty(); piece = exporter.Next()) {
    ASSERT_TRUE(piece.ok()) << piece.status();
    EXPECT_LE(piece->size(), std::max<size_t>(biggest_set, 4096));
    bytes += *piece;
  }
  // A source that gives a little at a time, and never beyond what is asked for.
  size_t position = 0;
  size_t asked = 0;
  const auto source = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    asked = std::max(asked, size);
    const size_t taken = std::min({size, bytes.size() - position, size_t{7}});
    bytes.copy(buffer, taken, position);
    position += taken;
    return taken;
  };
  const auto pack =
      VerifyPack(source, [](const PackItem&) { return absl::OkStatus(); });
  ASSERT_TRUE(pack.ok()) << pack.status();
  EXPECT_EQ(pack->manifest.classes.size(), 20u);
  EXPECT_LE(asked, std::max<size_t>(biggest_set, 4096));
}

// A record that says it is huge costs what is there, not what it says.
TEST(ClassPackTest, ALengthThatLiesIsRefused) {
  const std::string bytes = ReadGolden("class_pack");
  constexpr size_t kLengthOffset = kPackPreambleBytes + 16;
  for (const int shift : {3, 4, 7}) {
    std::string harmed = bytes;
    harmed[kLengthOffset + shift] = 0x3f;
    EXPECT_EQ(Verify(harmed).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(ClassPackTest, AFailingSourceIsPassedOn) {
  const auto pack = VerifyPack(
      [](char*, size_t) -> absl::StatusOr<size_t> {
        return absl::UnavailableError("disk");
      },
      [](const PackItem&) { return absl::OkStatus(); });
  EXPECT_EQ(pack.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace ovdiff::store
