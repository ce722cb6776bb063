// Negatives on the background side.
#include "server/class_prototypes.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/encoder_options.h"
#include "tests/server/fake_engine.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using enum PrototypeLevel;

FeatureSpacePrototypes Space(const std::string& name, float value) {
  FeatureSpacePrototypes space;
  space.space = name;
  space.dim = 2;
  space.foreground = {
      {value, 1, value, 2, value, 3}, {kClass, kInstance, kPart}, {-1, 0, 1}};
  space.background = {{value, 9}, {kClass}, {-1}};
  return space;
}

TEST(AddNegativeTest, AppendsItsForegroundSpaceBySpace) {
  PrototypeSet set{{Space("sd", 1), Space("dino", 2)}};
  // Spaces in another order; its own background is of no use.
  const PrototypeSet negative{{Space("dino", 4), Space("sd", 3)}};
  ASSERT_TRUE(AddNegative(negative, 5, set).ok());
  const PrototypeVectors& sd = set.spaces[0].background;
  EXPECT_THAT(sd.values, ElementsAre(1, 9, 3, 1, 3, 2, 3, 3));
  EXPECT_THAT(sd.levels, ElementsAre(kClass, kClass, kInstance, kPart));
  EXPECT_THAT(sd.source_pictures, ElementsAre(-1, -1, 5, 6));
  EXPECT_THAT(set.spaces[1].background.values,
              ElementsAre(2, 9, 4, 1, 4, 2, 4, 3));
  EXPECT_THAT(set.spaces[0].foreground.values, ElementsAre(1, 1, 1, 2, 1, 3));
}

TEST(AddNegativeTest, RefusesOtherSpaces) {
  PrototypeSet set{{Space("sd", 1)}};
  EXPECT_EQ(AddNegative({{Space("dino", 1)}}, 0, set).code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(AddNegative({{Space("sd", 1), Space("dino", 1)}}, 0, set).code(),
            absl::StatusCode::kInternal);
  FeatureSpacePrototypes longer = Space("sd", 1);
  longer.dim = 3;
  EXPECT_EQ(AddNegative({{longer}}, 0, set).code(),
            absl::StatusCode::kInternal);
}

// The number of parts is read off the vectors: of a negative they are its own.
TEST(AddNegativeTest, LeavesTheOptionsReadable) {
  const FakeEngine engine;
  store::PrototypeRecord record;
  record.set = {{Space("rgb", 1)}};
  for (const float value : {2.0f, 3.0f}) {
    ASSERT_TRUE(AddNegative({{Space("rgb", value)}}, 4, record.set).ok());
  }
  PrototypeOptions options = engine.info().prototype;
  options.num_parts = 1;
  record.encoder_fingerprint = engine.EncoderFingerprint(options);
  const auto found = FindEncoderOptions(engine, record);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->num_parts, 1);
}

SupportSet Solid(const std::string& prompt, int pictures, uint8_t red) {
  SupportSet support;
  support.prompt = prompt;
  for (int i = 0; i < pictures; ++i) {
    SupportPicture& picture = support.pictures.emplace_back();
    picture.image.width = 1;
    picture.image.height = 1;
    picture.image.data = {red, 0, 0};
    picture.mask = {1};
  }
  return support;
}

TEST(BuildClassPrototypesTest, ProgressIsOverAllSetsAndOnlyGrows) {
  FakeEngine engine;
  ClassPictures pictures;
  pictures.own = Solid("dog", 3, 255);
  pictures.negatives.push_back(Solid("wolf", 2, 100));
  pictures.negatives.push_back(Solid("", 1, 50));
  std::vector<int> done;
  const auto set = BuildClassPrototypes(
      engine, pictures, engine.info().prototype, CallControl(),
      [&](const engine::BuildProgress& progress) {
        EXPECT_EQ(progress.num_pictures, 6);
        done.push_back(progress.pictures_done);
      });
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(done, ElementsAre(1, 2, 3, 4, 5, 6));
  // A mean and the pictures' means of both.
  EXPECT_THAT(set->spaces[0].background.source_pictures,
              ElementsAre(-1, 3, 4, -1, 5));
}

TEST(BuildClassPrototypesTest, ANegativeThatFailsIsNamed) {
  FakeEngine engine;
  const auto message = [&](const SupportSet& negative) {
    ClassPictures pictures;
    pictures.own = Solid("dog", 1, 255);
    pictures.negatives.push_back(negative);
    return std::string(
        BuildClassPrototypes(engine, pictures, engine.info().prototype,
                             CallControl(), [](const engine::BuildProgress&) {})
            .status()
            .message());
  };
  EXPECT_THAT(message(Solid("wolf", 1, 0)), HasSubstr("negative \"wolf\": "));
  EXPECT_THAT(message(Solid("", 1, 0)), HasSubstr("a given picture"));
}

}  // namespace
}  // namespace ovdiff::server
