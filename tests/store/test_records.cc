#include "tests/store/test_records.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace ovdiff::store {
namespace {

// Small multiples of 1/8: exact in binary16 as well.
float ValueAt(int seed, size_t i) {
  const auto mixed = static_cast<uint32_t>(seed) * 2654435761U +
                     static_cast<uint32_t>(i) * 40503U;
  return static_cast<float>(static_cast<int>((mixed >> 8) % 257) - 128) / 8.0f;
}

PrototypeVectors MakeVectors(int seed, int dim, int num_parts) {
  PrototypeVectors vectors;
  vectors.levels = {PrototypeLevel::kClass, PrototypeLevel::kInstance};
  vectors.source_pictures = {-1, 0};
  for (int i = 0; i < num_parts; ++i) {
    vectors.levels.push_back(PrototypeLevel::kPart);
    vectors.source_pictures.push_back(i);
  }
  const size_t size = vectors.count() * static_cast<size_t>(dim);
  for (size_t i = 0; i < size; ++i) {
    vectors.values.push_back(ValueAt(seed, i));
  }
  return vectors;
}

std::string DifferenceOf(const PrototypeVectors& a, const PrototypeVectors& b) {
  if (a.levels != b.levels) return "levels";
  if (a.source_pictures != b.source_pictures) return "source pictures";
  return a.values == b.values ? "" : "values";
}

bool IsSame(const ClassEntry& a, const ClassEntry& b) {
  return a.name == b.name && a.prompt == b.prompt && a.kind == b.kind &&
         a.label == b.label && a.prototype_key == b.prototype_key &&
         a.support_key == b.support_key && a.add_time == b.add_time;
}

}  // namespace

TempFolder::TempFolder() {
  path_ = testing::TempDir() + "/ovdiff_store_XXXXXX";
  EXPECT_NE(mkdtemp(path_.data()), nullptr);
}

TempFolder::~TempFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  EXPECT_FALSE(error) << error.message();
}

Sha256Digest TestDigest(absl::string_view text) { return Sha256Of(text); }

PrototypeRecord MakePrototypeRecord(int seed, int dim, int num_parts) {
  PrototypeRecord record;
  record.prompt = absl::StrCat("a photo of a thing ", seed);
  record.generator_fingerprint = TestDigest("generator");
  record.encoder_fingerprint = TestDigest("encoder");
  record.create_time = absl::FromUnixNanos(1'700'000'000'123'456'789 + seed);
  FeatureSpacePrototypes sd;
  sd.space = "sd";
  sd.dim = dim;
  sd.foreground = MakeVectors(seed, sd.dim, num_parts);
  sd.background = MakeVectors(seed + 1, sd.dim, num_parts);
  FeatureSpacePrototypes dino;
  dino.space = "dino";
  dino.dim = dim / 2 + 1;
  dino.foreground = MakeVectors(seed + 2, dino.dim, num_parts);
  record.set.spaces = {sd, dino};
  return record;
}

SupportRecord MakeSupportRecord(int seed, int num_pictures) {
  SupportRecord record;
  record.prompt = absl::StrCat("a photo of a thing ", seed);
  record.generator_fingerprint = TestDigest("generator");
  record.create_time = absl::FromUnixNanos(1'700'000'000'000'000'001 + seed);
  for (int i = 0; i < num_pictures; ++i) {
    SupportPictureRecord picture;
    picture.png = absl::StrCat("\x89PNG\r\n", seed, " ", i);
    picture.png.push_back('\0');
    picture.attribution_width = 3;
    picture.attribution_height = 2;
    for (int j = 0; j < 6; ++j) {
      picture.attribution.push_back(static_cast<float>(seed + i + j) / 7.0f);
    }
    record.pictures.push_back(std::move(picture));
  }
  return record;
}

ContentKey KeyOf(const PrototypeRecord& record) {
  return PrototypeKey(record.prompt, record.generator_fingerprint,
                      record.encoder_fingerprint);
}

ContentKey KeyOf(const SupportRecord& record) {
  return SupportKey(record.prompt, record.generator_fingerprint);
}

NewClass MakeNewClass(const std::string& name, int seed) {
  NewClass new_class;
  new_class.name = name;
  new_class.prompt = absl::StrCat(name, " ", seed);
  new_class.set = MakePrototypeRecord(seed);
  new_class.set->prompt = new_class.prompt;
  new_class.prototype_key = KeyOf(*new_class.set);
  new_class.support_key =
      SupportKey(new_class.prompt, new_class.set->generator_fingerprint);
  return new_class;
}

std::string Difference(const PrototypeRecord& a, const PrototypeRecord& b) {
  if (a.prompt != b.prompt) return "prompt";
  if (a.generator_fingerprint != b.generator_fingerprint) return "generator";
  if (a.encoder_fingerprint != b.encoder_fingerprint) return "encoder";
  if (a.create_time != b.create_time) return "create time";
  if (a.set.spaces.size() != b.set.spaces.size()) return "number of spaces";
  for (size_t i = 0; i < a.set.spaces.size(); ++i) {
    const FeatureSpacePrototypes& x = a.set.spaces[i];
    const FeatureSpacePrototypes& y = b.set.spaces[i];
    if (x.space != y.space || x.dim != y.dim) return "space";
    std::string difference = DifferenceOf(x.foreground, y.foreground);
    if (difference.empty()) {
      difference = DifferenceOf(x.background, y.background);
    }
    if (!difference.empty()) return x.space + ": " + difference;
  }
  return "";
}

std::string Difference(const SupportRecord& a, const SupportRecord& b) {
  if (a.prompt != b.prompt) return "prompt";
  if (a.generator_fingerprint != b.generator_fingerprint) return "generator";
  if (a.create_time != b.create_time) return "create time";
  if (a.pictures.size() != b.pictures.size()) return "number of pictures";
  for (size_t i = 0; i < a.pictures.size(); ++i) {
    const SupportPictureRecord& x = a.pictures[i];
    const SupportPictureRecord& y = b.pictures[i];
    if (x.png != y.png || x.attribution != y.attribution ||
        x.attribution_width != y.attribution_width ||
        x.attribution_height != y.attribution_height ||
        x.mask_png != y.mask_png || x.negative != y.negative) {
      return absl::StrCat("picture ", i);
    }
  }
  return "";
}

std::string Difference(const Vocabulary& a, const Vocabulary& b) {
  if (a.id.project != b.id.project || a.id.name != b.id.name) return "id";
  if (a.version != b.version) {
    return absl::StrCat("version ", a.version, " and ", b.version);
  }
  if (a.create_time != b.create_time) return "create time";
  if (a.classes.size() != b.classes.size()) {
    return absl::StrCat(a.classes.size(), " and ", b.classes.size(),
                        " classes");
  }
  for (size_t i = 0; i < a.classes.size(); ++i) {
    if (!IsSame(a.classes[i], b.classes[i])) return a.classes[i].name;
  }
  return "";
}

std::unique_ptr<PrototypeStore> MustOpen(const std::string& path) {
  auto store = OpenRocksDbStore({.path = path});
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

}  // namespace ovdiff::store
