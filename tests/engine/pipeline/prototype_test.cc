// From support set to prototype set, the degenerate cases of method.md first.
#include <cmath>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

class PrototypeTest : public EngineTest {
 protected:
  static std::map<PrototypeLevel, int> Levels(const PrototypeVectors& side) {
    std::map<PrototypeLevel, int> counts;
    for (const PrototypeLevel level : side.levels) {
      ++counts[level];
    }
    return counts;
  }

  static void ExpectSound(const PrototypeSet& set, int pictures) {
    for (const FeatureSpacePrototypes& space : set.spaces) {
      for (const PrototypeVectors* side :
           {&space.foreground, &space.background}) {
        EXPECT_EQ(side->values.size(), side->count() * space.dim);
        EXPECT_EQ(side->source_pictures.size(), side->count());
        for (const float value : side->values) {
          ASSERT_TRUE(std::isfinite(value));
        }
        for (size_t i = 0; i < side->count(); ++i) {
          const bool is_class = side->levels[i] == PrototypeLevel::kClass;
          EXPECT_EQ(side->source_pictures[i] == -1, is_class);
          EXPECT_LT(side->source_pictures[i], pictures);
        }
      }
      EXPECT_GT(space.foreground.count(), 0u);
    }
  }
};

TEST_F(PrototypeTest, HasMeanInstancesAndPartsInEverySpace) {
  const PrototypeSet set = Build(SquareSupport(4, 16, 8));
  ExpectSound(set, 4);
  ASSERT_EQ(set.spaces.size(), 3u);
  EXPECT_EQ(set.spaces[0].space, "vision");
  EXPECT_EQ(set.spaces[0].dim, 18);
  EXPECT_EQ(set.spaces[1].space, "queries");
  EXPECT_EQ(set.spaces[1].dim, 16 + 8);
  EXPECT_EQ(set.spaces[2].space, "keys");
  EXPECT_EQ(set.spaces[2].dim, 24);
  for (const FeatureSpacePrototypes& space : set.spaces) {
    for (const PrototypeVectors* side :
         {&space.foreground, &space.background}) {
      auto levels = Levels(*side);
      EXPECT_EQ(levels[PrototypeLevel::kClass], 1);
      EXPECT_EQ(levels[PrototypeLevel::kInstance], 4);
      EXPECT_EQ(levels[PrototypeLevel::kPart], 5);
    }
  }
}

TEST_F(PrototypeTest, TheClassMeanIsTheMeanOfEqualInstances) {
  // Equal masks: every picture has as many cells, so the mean of the instance
  // means is the class mean.
  const PrototypeSet set = Build(SquareSupport(3, 16, 8));
  const FeatureSpacePrototypes& space = set.spaces[0];
  for (int d = 0; d < space.dim; ++d) {
    double mean = 0;
    for (int i = 0; i < 3; ++i) {
      mean += space.foreground.values[(1 + i) * space.dim + d] / 3;
    }
    EXPECT_NEAR(space.foreground.values[d], mean, 1e-5);
  }
}

TEST_F(PrototypeTest, SameSupportSameVectorsOnAnyNumberOfThreads) {
  const SupportSet support = Paint("cat");
  const PrototypeSet expected = Build(support);
  for (const int threads : {1, 3}) {
    auto other = MakeEngine(threads);
    auto set = other->BuildPrototypeSet(support, Prototype(), {}, nullptr);
    ASSERT_TRUE(set.ok()) << set.status();
    for (size_t i = 0; i < set->spaces.size(); ++i) {
      EXPECT_EQ(set->spaces[i].foreground.values,
                expected.spaces[i].foreground.values);
      EXPECT_EQ(set->spaces[i].background.values,
                expected.spaces[i].background.values);
    }
  }
}

TEST_F(PrototypeTest, FewerCellsThanPartsGiveFewerParts) {
  PrototypeOptions options = Prototype();
  options.num_parts = 200;
  auto set =
      engine().BuildPrototypeSet(SquareSupport(1, 16, 8), options, {}, nullptr);
  ASSERT_TRUE(set.ok()) << set.status();
  ExpectSound(*set, 1);
  for (const FeatureSpacePrototypes& space : set->spaces) {
    auto levels = Levels(space.foreground);
    EXPECT_GE(levels[PrototypeLevel::kPart], 1);
    EXPECT_LT(levels[PrototypeLevel::kPart], 200);
  }
}

TEST_F(PrototypeTest, NoForegroundAnywhereIsAnErrorThatSaysSo) {
  SupportSet support = SquareSupport(2, 16, 8);
  for (SupportPicture& picture : support.pictures) {
    picture.attribution.data.assign(16 * 16, 0.25f);  // flat
  }
  const absl::Status status =
      engine().BuildPrototypeSet(support, Prototype(), {}, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("foreground"));
}

TEST_F(PrototypeTest, APictureWithoutForegroundIsLeftOutOnBothSides) {
  SupportSet support = SquareSupport(3, 16, 8);
  support.pictures[1].attribution.data.assign(16 * 16, 0.25f);
  const PrototypeSet set = Build(support);
  ExpectSound(set, 3);
  for (const FeatureSpacePrototypes& space : set.spaces) {
    for (const PrototypeVectors* side :
         {&space.foreground, &space.background}) {
      EXPECT_EQ(Levels(*side)[PrototypeLevel::kInstance], 2);
      EXPECT_THAT(side->source_pictures, testing::Not(testing::Contains(1)));
    }
  }
}

// Everything covered: nothing is below the lower threshold.
TEST_F(PrototypeTest, EmptyBackgroundIsAllowed) {
  PrototypeOptions options = Prototype();
  options.fallback_background = 0;
  SupportSet support = SquareSupport(2, 16, 8);
  // Two values: Otsu has no answer; the low one is at 0, not below it.
  for (SupportPicture& picture : support.pictures) {
    for (float& value : picture.attribution.data) {
      value = value > 0.7f ? 1.0f : 0.0f;
    }
  }
  auto set = engine().BuildPrototypeSet(support, options, {}, nullptr);
  ASSERT_TRUE(set.ok()) << set.status();
  ExpectSound(*set, 2);
  for (const FeatureSpacePrototypes& space : set->spaces) {
    EXPECT_EQ(space.background.count(), 0u);
  }
  // Such a class alone leaves no background: the best match wins everywhere
  // that it is above 0.
  const std::vector<SegmentClass> classes = {
      {4, "cat", ClassKind::kThing, Load(*set)}};
  auto answer = engine().Segment(MakePicture(30, 30), classes, Plain(), {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_GT(answer->classes[0].pixel_count, 0);
}

TEST_F(PrototypeTest, RefusesSupportSetsThatAreNotSound) {
  EXPECT_EQ(engine()
                .BuildPrototypeSet(SupportSet(), Prototype(), {}, nullptr)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  SupportSet uneven = SquareSupport(2, 16, 8);
  uneven.pictures[1].attribution.data.pop_back();
  EXPECT_EQ(engine()
                .BuildPrototypeSet(uneven, Prototype(), {}, nullptr)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  SupportSet nan = SquareSupport(2, 16, 8);
  nan.pictures[0].attribution.data[3] = std::nanf("");
  EXPECT_EQ(
      engine().BuildPrototypeSet(nan, Prototype(), {}, nullptr).status().code(),
      absl::StatusCode::kInvalidArgument);
  SupportSet no_pixels = SquareSupport(1, 16, 8);
  no_pixels.pictures[0].image.data.clear();
  EXPECT_EQ(engine()
                .BuildPrototypeSet(no_pixels, Prototype(), {}, nullptr)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PrototypeTest, ReportsStagesAndCanBeCancelled) {
  std::vector<BuildStage> stages;
  auto set = engine().BuildPrototypeSet(
      SquareSupport(3, 16, 8), Prototype(), {},
      [&](const BuildProgress& progress) { stages.push_back(progress.stage); });
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(stages.front(), BuildStage::kEncoding);
  EXPECT_EQ(stages.back(), BuildStage::kClustering);
  CallControl control;
  control.cancellation.Cancel();
  EXPECT_EQ(engine()
                .BuildPrototypeSet(SquareSupport(3, 16, 8), Prototype(),
                                   control, nullptr)
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

TEST_F(PrototypeTest, LoadingRefusesVectorsOfAnotherBundle) {
  const PrototypeSet good = Build(SquareSupport(2, 16, 8));
  EXPECT_GT(Load(good)->size_bytes(), 0);
  PrototypeSet set = good;
  set.spaces[0].space = "other";
  EXPECT_THAT(engine().LoadPrototypes(set).status().message(),
              HasSubstr("\"other\""));
  set = good;
  set.spaces[1].dim = 7;
  EXPECT_EQ(engine().LoadPrototypes(set).status().code(),
            absl::StatusCode::kFailedPrecondition);
  set = good;
  set.spaces[2].background.values.pop_back();
  EXPECT_EQ(engine().LoadPrototypes(set).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(engine().LoadPrototypes(PrototypeSet()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ovdiff::engine
