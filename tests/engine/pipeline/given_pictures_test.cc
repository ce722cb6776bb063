// Pictures that were not painted: their attribution, and masks that come with
// them.
#include <algorithm>

#include "absl/time/clock.h"
#include "engine/ops/resample.h"
#include "engine/pipeline/support_masks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::Each;
using testing::Ge;
using testing::HasSubstr;

class AttributePicturesTest : public EngineTest {
 protected:
  static std::vector<Image> Pictures() {
    return {MakePicture(32, 32, 1), MakePicture(50, 20, 2),
            MakePicture(7, 90, 3)};
  }

  static std::vector<AttributionMap> Attribute(
      absl::Span<const Image> pictures, const GenerationOptions& options,
      Engine& engine = EngineTest::engine(),
      const std::string& prompt = "cat") {
    auto maps = engine.AttributePictures(prompt, pictures, options, {});
    EXPECT_TRUE(maps.ok()) << maps.status();
    return *std::move(maps);
  }
};

TEST_F(AttributePicturesTest, GivesMapsOfPaintingsGrid) {
  const auto maps = Attribute(Pictures(), Generation());
  const AttributionMap painted = Paint("cat").pictures[0].attribution;
  ASSERT_EQ(maps.size(), 3u);
  for (const AttributionMap& map : maps) {
    EXPECT_EQ(map.width, painted.width);
    EXPECT_EQ(map.height, painted.height);
    EXPECT_EQ(map.data.size(), painted.data.size());
    EXPECT_THAT(map.data, Each(Ge(0.0f)));
    EXPECT_GT(*std::max_element(map.data.begin(), map.data.end()),
              *std::min_element(map.data.begin(), map.data.end()));
  }
  EXPECT_NE(maps[0].data, maps[1].data);
  EXPECT_TRUE(Attribute({}, Generation()).empty());
}

TEST_F(AttributePicturesTest, PortionsOrderAndThreadsChangeNothing) {
  std::vector<Image> pictures = Pictures();
  const auto expected = Attribute(pictures, Generation());
  GenerationOptions options = Generation();
  options.batch_size = 2;
  const auto other = MakeEngine(/*num_threads=*/1);
  std::swap(pictures[0], pictures[2]);
  const auto turned = Attribute(pictures, options, *other);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(turned[2 - i].data, expected[i].data) << i;
    const auto alone =
        Attribute(absl::MakeConstSpan(&pictures[2 - i], 1), options);
    EXPECT_EQ(alone[0].data, expected[i].data) << i;
  }
}

TEST_F(AttributePicturesTest, APictureIsSquashedToThePicturesSize) {
  const Image picture = MakePicture(50, 20, 2);
  const auto squashed = ResizeImage(
      picture, {kTinyPictureSize, kTinyPictureSize}, ResampleFilter::kBilinear);
  ASSERT_TRUE(squashed.ok());
  EXPECT_EQ(Attribute({picture}, Generation())[0].data,
            Attribute({*squashed}, Generation())[0].data);
}

TEST_F(AttributePicturesTest, SeedPromptAndTemplateMatterStepsDoNot) {
  const Image picture = MakePicture(32, 32);
  const auto data = [&](const GenerationOptions& options,
                        const std::string& prompt = "cat") {
    return Attribute({picture}, options, engine(), prompt)[0].data;
  };
  GenerationOptions options = Generation();
  const std::vector<float> base = data(options);
  EXPECT_NE(data(options, "dog"), base);
  options.num_steps = 2;
  options.guidance_scale = 1;
  EXPECT_EQ(data(options), base);
  options.seed = 43;
  EXPECT_NE(data(options), base);
  options = Generation();
  options.prompt_template = "{} here";
  EXPECT_NE(data(options), base);
}

TEST_F(AttributePicturesTest, RefusesAndStops) {
  const std::vector<Image> pictures = Pictures();
  const auto code = [&](const std::string& prompt,
                        absl::Span<const Image> given,
                        const CallControl& control) {
    return engine()
        .AttributePictures(prompt, given, Generation(), control)
        .status()
        .code();
  };
  EXPECT_EQ(code("", pictures, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("cat", {Image()}, {}), absl::StatusCode::kInvalidArgument);
  CallControl cancelled;
  cancelled.cancellation.Cancel();
  EXPECT_EQ(code("cat", pictures, cancelled), absl::StatusCode::kCancelled);
  CallControl late;
  late.deadline = absl::Now() - absl::Seconds(1);
  EXPECT_EQ(code("cat", pictures, late), absl::StatusCode::kDeadlineExceeded);
}

class GivenMaskTest : public EngineTest {
 protected:
  static constexpr int kSide = kTinyPictureSize;

  // A picture with the mask of what is left of column `edge`; no attribution.
  static SupportPicture Masked(int width, int height, int edge) {
    SupportPicture picture;
    picture.image = MakePicture(width, height);
    for (int i = 0; i < width * height; ++i) {
      picture.mask.push_back(i % width < edge ? 1 : 0);
    }
    return picture;
  }

  static SupportMasks Masks(const SupportSet& support) {
    auto masks = MakeSupportMasks(support, Prototype(), kSide);
    EXPECT_TRUE(masks.ok()) << masks.status();
    return *std::move(masks);
  }

  // Whether the columns from `first` on, and none before, are set.
  static bool IsFrom(const torch::Tensor& mask, int64_t first) {
    return mask.narrow(1, first, kSide - first).all().item<bool>() &&
           !mask.narrow(1, 0, first).any().item<bool>();
  }
};

TEST_F(GivenMaskTest, AGivenMaskIsTakenAsItIs) {
  const SupportMasks masks = Masks({"cat", {Masked(kSide, kSide, 12)}});
  EXPECT_TRUE(IsFrom(masks.masks.background[0], 12));
  EXPECT_TRUE(IsFrom(masks.masks.foreground[0].logical_not(), 12));
}

TEST_F(GivenMaskTest, AMaskOfAnotherSizeIsBroughtToThePicturesSize) {
  // 64 x 20 pixels: each of 32 columns is two of them; column 6 is half object.
  const SupportMasks masks = Masks({"cat", {Masked(64, 20, 13)}});
  EXPECT_TRUE(IsFrom(masks.masks.foreground[0].logical_not(), 7));
  EXPECT_TRUE(IsFrom(masks.masks.background[0], 7));
  const SupportMasks grown = Masks({"cat", {Masked(8, 8, 3)}});
  EXPECT_TRUE(IsFrom(grown.masks.foreground[0].logical_not(), 12));
}

TEST_F(GivenMaskTest, AFullMaskHasNoBackgroundAThinOneItsTouchedPixels) {
  const SupportMasks full = Masks({"cat", {Masked(40, 40, 40)}});
  EXPECT_TRUE(full.masks.foreground[0].all().item<bool>());
  EXPECT_FALSE(full.masks.background[0].any().item<bool>());
  // One column of 320: a tenth of a pixel at 32.
  const SupportMasks thin = Masks({"cat", {Masked(320, 320, 1)}});
  EXPECT_TRUE(IsFrom(thin.masks.foreground[0].logical_not(), 1));
  EXPECT_TRUE(IsFrom(thin.masks.background[0], 1));
}

TEST_F(GivenMaskTest, ThresholdsAreThoseOfThePicturesWithoutMask) {
  const SupportSet plain = SquareSupport(3, 16, 8);
  SupportSet mixed = plain;
  mixed.pictures.insert(mixed.pictures.begin() + 1, Masked(20, 20, 10));
  const SupportMasks expected = Masks(plain);
  const SupportMasks masks = Masks(mixed);
  EXPECT_EQ(masks.thresholds.lower, expected.thresholds.lower);
  EXPECT_EQ(masks.thresholds.upper, expected.thresholds.upper);
  EXPECT_THAT(PicturesWithoutMask(mixed), testing::ElementsAre(0, 2, 3));
  const int64_t rows[] = {0, 2, 3};
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(
        masks.masks.foreground[rows[i]].equal(expected.masks.foreground[i]));
    EXPECT_TRUE(
        masks.masks.background[rows[i]].equal(expected.masks.background[i]));
  }
  EXPECT_TRUE(IsFrom(masks.masks.background[1], 16));
}

TEST_F(GivenMaskTest, ProposalsAreForPicturesWithoutMask) {
  SupportSet support = SquareSupport(2, 16, 8);
  support.pictures[0] = Masked(kSide, kSide, 4);
  torch::Tensor proposal = torch::zeros({1, 2, 2}, torch::kBool);
  proposal[0][0][0] = true;
  const auto masks =
      ChooseSupportMasks(support, {torch::Tensor(), proposal}, {}, kSide);
  ASSERT_TRUE(masks.ok()) << masks.status();
  EXPECT_TRUE(IsFrom(masks->masks.background[0], 4));
  EXPECT_EQ(masks->masks.foreground[1].sum().item<int64_t>(), 16 * 16);
}

TEST_F(GivenMaskTest, RefusesEmptyAndMisshapenMasks) {
  const auto status = [](SupportPicture picture) {
    return engine()
        .BuildPrototypeSet({"cat", {std::move(picture)}}, Prototype(), {},
                           nullptr)
        .status();
  };
  const absl::Status empty = status(Masked(kSide, kSide, 0));
  EXPECT_EQ(empty.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(empty.message(), HasSubstr("no object pixel"));
  SupportPicture picture = Masked(kSide, kSide, 4);
  picture.mask.pop_back();
  const absl::Status misshapen = status(picture);
  EXPECT_EQ(misshapen.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(misshapen.message(), HasSubstr("1023"));
  // Neither a mask nor attribution.
  picture.mask.clear();
  EXPECT_EQ(status(picture).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(GivenMaskTest, PrototypesComeFromTheMask) {
  // Masked pictures and pictures whose attribution says the same are one.
  SupportSet attributed = SquareSupport(2, kSide, 12);
  const SupportMasks expected = Masks(attributed);
  SupportSet masked = attributed;
  for (size_t i = 0; i < masked.pictures.size(); ++i) {
    SupportPicture& picture = masked.pictures[i];
    picture.attribution = {};
    for (int cell = 0; cell < kSide * kSide; ++cell) {
      picture.mask.push_back(
          expected.masks
              .foreground[static_cast<int64_t>(i)][cell / kSide][cell % kSide]
              .item<bool>());
    }
  }
  const PrototypeSet from_maps = Build(attributed);
  for (const char* source : {"attention", "maskcut"}) {
    PrototypeOptions options = Prototype();
    options.mask_source = source;
    const auto from_masks =
        engine().BuildPrototypeSet(masked, options, {}, nullptr);
    ASSERT_TRUE(from_masks.ok()) << from_masks.status();
    for (size_t i = 0; i < from_maps.spaces.size(); ++i) {
      EXPECT_EQ(from_masks->spaces[i].foreground.values,
                from_maps.spaces[i].foreground.values);
      EXPECT_GT(from_masks->spaces[i].background.count(), 0u);
    }
  }
}

TEST_F(GivenMaskTest, AFlatMapContributesNothingBesideAMask) {
  SupportSet support = SquareSupport(2, 16, 8);
  support.pictures[0].attribution.data.assign(16 * 16, 0.25f);
  support.pictures[1].attribution = {};
  support.pictures[1].mask = Masked(kSide, kSide, 16).mask;
  const PrototypeSet set = Build(support);
  for (const FeatureSpacePrototypes& space : set.spaces) {
    for (const PrototypeVectors* side :
         {&space.foreground, &space.background}) {
      EXPECT_THAT(side->source_pictures, Each(testing::AnyOf(-1, 1)));
    }
  }
}

}  // namespace
}  // namespace ovdiff::engine
