#include "server/class_kinds.h"

#include <set>
#include <string>

#include "engine/text/prompt_text.h"
#include "gtest/gtest.h"
#include "server/convert.h"
#include "server/stuff_names.h"

namespace ovdiff::server {
namespace {

bool IsStuff(absl::string_view text) {
  return KindOfText(text) == ClassKind::kStuff;
}

TEST(ClassKindsTest, RegionsAreStuffAndObjectsAreThings) {
  for (const char* text :
       {"sky", "grass", "road", "sea", "brick", "wood", "sand", "gravel",
        "tree", "building", "wall", "playingfield"}) {
    EXPECT_TRUE(IsStuff(text)) << text;
  }
  for (const char* text :
       {"dog", "red sneaker", "ankle boot", "pillow", "dining table", "tent",
        "potted plant", "house", "", "-other", "blub"}) {
    EXPECT_FALSE(IsStuff(text)) << text;
  }
}

TEST(ClassKindsTest, AWordBeforeSaysOfWhatSort) {
  for (const char* text : {"blue sky", "brick wall", "wet grass",
                           "wooden floor", "big parking lot"}) {
    EXPECT_TRUE(IsStuff(text)) << text;
  }
  for (const char* text :
       {"glass of water", "house by the sea", "sky diver", "christmas tree",
        "paving stone", "snow leopard", "road sign", "parking lot ticket"}) {
    EXPECT_FALSE(IsStuff(text)) << text;
  }
}

TEST(ClassKindsTest, CaseSpacesAndDataSetsSpellingsDoNotMatter) {
  for (const char* text :
       {"  SKY ", "Blue\tSky", "parking_lot", "road, route", "earth, ground",
        "sky-other", "sky-other-merged", "wall-brick", "floor-wood",
        "water-other", "textile-other", "grass-merged"}) {
    EXPECT_TRUE(IsStuff(text)) << text;
  }
  for (const char* text : {"door-stuff", "food-other-merged", "window-other",
                           "bed, sky", "t-shirt", "sky-diver"}) {
    EXPECT_FALSE(IsStuff(text)) << text;
  }
  EXPECT_FALSE(IsStuff("sky\xff"));
}

// So that each entry can be met, and stands once.
TEST(ClassKindsTest, TheListIsWrittenAsItIsCompared) {
  std::set<std::string> seen;
  for (const absl::string_view entry : StuffNames()) {
    const std::string name(entry.substr(entry.rfind("* ", 0) == 0 ? 2 : 0));
    EXPECT_TRUE(seen.insert(name).second) << name;
    EXPECT_EQ(engine::NormalizePrompt(name).value(), name);
    EXPECT_TRUE(IsStuff(name)) << name;
  }
  EXPECT_GT(seen.size(), 100u);
}

TEST(ClassKindsTest, ThePromptSaysWhatItIsAndTheCallerHasTheLastWord) {
  v1::ClassSpec spec;
  spec.set_name("sky");
  EXPECT_EQ(KindOf(spec), ClassKind::kStuff);
  spec.set_kind(v1::CLASS_KIND_THING);
  EXPECT_EQ(KindOf(spec), ClassKind::kThing);
  spec.set_kind(v1::CLASS_KIND_UNSPECIFIED);
  spec.set_prompt("lamp shade");
  EXPECT_EQ(KindOf(spec), ClassKind::kThing);
  spec.set_name("Himmel");
  spec.set_prompt("cloudy sky");
  EXPECT_EQ(KindOf(spec), ClassKind::kStuff);
  spec.set_name("lichen");
  spec.clear_prompt();
  spec.set_kind(v1::CLASS_KIND_STUFF);
  EXPECT_EQ(KindOf(spec), ClassKind::kStuff);
}

}  // namespace
}  // namespace ovdiff::server
