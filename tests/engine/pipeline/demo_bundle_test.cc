// The whole path on the trained weights of the repository: words in, labelled
// pixels out.
#include <algorithm>
#include <filesystem>

#include "engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

EngineOptions DemoOptions() {
  EngineOptions options;
  options.bundle_path = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
  options.num_threads = 2;
  return options;
}

SegmentClass AddClass(Engine& engine, const std::string& name, uint16_t label) {
  GenerationOptions generation = engine.info().generation;
  generation.num_pictures = 4;
  generation.num_steps = 15;
  auto support = engine.PaintSupportSet(name, generation, {}, nullptr);
  EXPECT_TRUE(support.ok()) << support.status();
  auto set =
      engine.BuildPrototypeSet(*support, engine.info().prototype, {}, nullptr);
  EXPECT_TRUE(set.ok()) << set.status();
  auto loaded = engine.LoadPrototypes(*set);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return {.label = label,
          .name = name,
          .kind = ClassKind::kThing,
          .prototypes = *loaded};
}

TEST(DemoBundle, FindsThePaintedObjectInAPaintedPicture) {
  auto engine = CreateEngine(DemoOptions());
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_THAT((*engine)->info().spaces,
              testing::ElementsAre("sd", "dino", "clip"));
  const std::vector<SegmentClass> classes = {AddClass(**engine, "bag", 1),
                                             AddClass(**engine, "trousers", 2)};
  GenerationOptions generation = (*engine)->info().generation;
  generation.num_pictures = 1;
  generation.num_steps = 15;
  generation.seed = 5;  // A picture that neither class was made of.
  auto picture = (*engine)->PaintSupportSet("bag", generation, {}, nullptr);
  ASSERT_TRUE(picture.ok()) << picture.status();
  const std::vector<std::string> names = {"sandal", "bag", "trousers"};
  auto cosines =
      (*engine)->CompareWithNames(picture->pictures[0].image, names, {});
  ASSERT_TRUE(cosines.ok()) << cosines.status();
  EXPECT_THAT(*cosines, testing::SizeIs(3));
  EXPECT_EQ(std::max_element(cosines->begin(), cosines->end()),
            cosines->begin() + 1);
  SegmentOptions options = (*engine)->info().segment;
  options.prefilter.enabled = false;
  auto answer =
      (*engine)->Segment(picture->pictures[0].image, classes, options, {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->labels.width, 64);
  EXPECT_EQ(answer->labels.height, 64);
  int64_t labelled = 0;
  for (const ClassResult& item : answer->classes) {
    labelled += item.pixel_count;
  }
  // The weights are weak, but object and background come apart.
  EXPECT_GT(labelled, 64 * 64 / 50);
  EXPECT_LT(labelled, 64 * 64 * 49 / 50);
  EXPECT_GT((*engine)->stats().batched_windows, 0);
}

}  // namespace
}  // namespace ovdiff::engine
