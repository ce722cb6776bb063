// The torch-free steps of the pipeline, each alone.
#include <cmath>
#include <limits>

#include "engine/pipeline/label_map.h"
#include "engine/pipeline/picture_input.h"
#include "engine/pipeline/subset_search.h"
#include "engine/pipeline/text_embedding_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

using testing::ElementsAre;

LabelMap Finish(LabelMapBuilder& builder,
                std::vector<LabelMapBuilder::ClassSummary>* summaries) {
  return builder.Finish(summaries);
}

TEST(LabelMapBuilder, TheBestScoreAboveBackgroundAndZeroWins) {
  LabelMapBuilder builder(4, 1, 4, 1);
  builder.AddBackground(std::vector<float>{0.5f, 0.1f, -1.0f, 0.3f});
  builder.AddClass(7, std::vector<float>{0.4f, 0.2f, -0.5f, 0.3f});
  EXPECT_FLOAT_EQ(
      builder.AddClass(3, std::vector<float>{0.1f, 0.2f, -0.1f, 0.9f}), 0.9f);
  std::vector<LabelMapBuilder::ClassSummary> summaries;
  const LabelMap labels = Finish(builder, &summaries);
  // Background; a tie to the lower label; nothing above 0; the best.
  EXPECT_THAT(labels.data, ElementsAre(0, 3, 0, 3));
  EXPECT_EQ(summaries[3].pixel_count, 2);
  EXPECT_NEAR(summaries[3].score_sum, 1.1, 1e-6);
  EXPECT_EQ(summaries[7].pixel_count, 0);
}

TEST(LabelMapBuilder, ValuesThatAreNotFiniteCountAsZero) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  LabelMapBuilder builder(3, 1, 3, 1);
  builder.AddBackground(std::vector<float>{nan, nan, 0.1f});
  EXPECT_FLOAT_EQ(builder.AddClass(1, std::vector<float>{nan, infinity, 0.2f}),
                  0.2f);
  std::vector<LabelMapBuilder::ClassSummary> summaries;
  EXPECT_THAT(Finish(builder, &summaries).data, ElementsAre(0, 0, 1));
}

TEST(LabelMapBuilder, UpsamplesBilinearAtPixelCentres) {
  // Values of torch's upsample_bilinear2d, align_corners = false.
  LabelMapBuilder builder(2, 1, 4, 1);
  builder.AddBackground(std::vector<float>{0.3f, 0.3f});
  builder.AddClass(1, std::vector<float>{0.0f, 1.0f});  // 0 .25 .75 1
  std::vector<LabelMapBuilder::ClassSummary> summaries;
  EXPECT_THAT(Finish(builder, &summaries).data, ElementsAre(0, 0, 1, 1));
  EXPECT_NEAR(summaries[1].score_sum, 1.75, 1e-6);
  EXPECT_NEAR(summaries[0].score_sum, 0.6, 1e-6);
}

TEST(LabelMapBuilder, ShrinksToASmallerPicture) {
  LabelMapBuilder builder(4, 4, 1, 1);
  builder.AddClass(2, std::vector<float>(16, 0.5f));
  std::vector<LabelMapBuilder::ClassSummary> summaries;
  EXPECT_THAT(Finish(builder, &summaries).data, ElementsAre(2));
}

TEST(PictureInput, ChecksSidesAndBytes) {
  EXPECT_FALSE(CheckImage({}).ok());
  EXPECT_FALSE(CheckImage({.width = 2, .height = -1, .data = {1}}).ok());
  EXPECT_FALSE(CheckImage({.width = 1, .height = 1, .data = {1, 2}}).ok());
  EXPECT_TRUE(CheckImage({.width = 1, .height = 1, .data = {1, 2, 3}}).ok());
}

TEST(PictureInput, TheWorkingPictureIsBounded) {
  Image image{.width = 3, .height = 1000, .data = {}};
  image.data.assign(3 * 1000 * 3, 9);
  auto picture = WorkingPicture(image, 30, 120);
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->width, 30);
  EXPECT_EQ(picture->height, 120);
  image = {.width = 40, .height = 20, .data = std::vector<uint8_t>(2400, 7)};
  picture = WorkingPicture(image, 30, 120);
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->width, 60);
  EXPECT_EQ(picture->height, 30);
}

TEST(PictureInput, NetworkSizesFollowTheBundle) {
  const InputSize squash{InputSize::Fit::kSquash, 48, 0};
  EXPECT_EQ(NetworkInputSize({30, 90}, squash, 8), (ImageSize{48, 48}));
  EXPECT_EQ(NetworkInputSize({30, 90}, squash, 64), (ImageSize{64, 64}));
  const InputSize keep{InputSize::Fit::kKeep, 448, 800};
  EXPECT_EQ(NetworkInputSize({336, 336}, keep, 8), (ImageSize{336, 336}));
  EXPECT_EQ(NetworkInputSize({597, 448}, keep, 8), (ImageSize{597, 448}));
  EXPECT_EQ(NetworkInputSize({1600, 448}, keep, 8), (ImageSize{800, 224}));
  EXPECT_EQ(NetworkInputSize({3584, 4}, keep, 8), (ImageSize{800, 8}));
}

TEST(SubsetSearch, KeepsClassesAtOrAboveTheirShare) {
  EXPECT_THAT(LikelyClasses({0.3, 0.1, 0.25, 0.05}, 10), ElementsAre(0, 2));
  // All alike: each has exactly 1 / C.
  EXPECT_THAT(LikelyClasses({0.2, 0.2, 0.2}, 10), ElementsAre(0, 1, 2));
  EXPECT_THAT(LikelyClasses({0.2, 0.2, 0.2}, 2), ElementsAre(0, 1));
  // More than fit: the best, in index order.
  EXPECT_THAT(LikelyClasses({0.5, 0.1, 0.6, 0.55, 0.1, 0.1}, 2),
              ElementsAre(2, 3));
  // Two things: exactly one passes unless they tie (method.md 14.16).
  EXPECT_THAT(LikelyClasses({0.21, 0.2}, 10), ElementsAre(0));
  EXPECT_THAT(LikelyClasses({0.7}, 10), ElementsAre(0));
}

TEST(SubsetSearch, ListsEverySubsetOnceWithItsText) {
  const Subsets subsets =
      ListSubsets(std::vector<std::string>{"bag", "cat", "dog"},
                  /*articles=*/true);
  ASSERT_EQ(subsets.texts.size(), 7u);
  EXPECT_EQ(subsets.texts[0], "a bag");
  EXPECT_EQ(subsets.texts[2], "a bag and a cat");
  EXPECT_EQ(subsets.texts[6], "a bag and a cat and a dog");
  EXPECT_THAT(subsets.members[5 - 1], ElementsAre(0, 2));
}

TEST(TextEmbeddingCache, DropsTheLeastRecentlyUsed) {
  // Room for two entries of 100 numbers, by the cache's own estimate.
  TextEmbeddingCache cache(2 * (2 + 400 + 200) + 10);
  const auto embedding =
      std::make_shared<const Embedding>(Embedding(100, 0.1f));
  cache.Insert("a", embedding);
  cache.Insert("b", embedding);
  EXPECT_NE(cache.Find("a"), nullptr);
  cache.Insert("c", embedding);
  EXPECT_EQ(cache.Find("b"), nullptr);
  EXPECT_NE(cache.Find("a"), nullptr);
  EXPECT_NE(cache.Find("c"), nullptr);
  EXPECT_EQ(cache.size(), 2u);
}

}  // namespace
}  // namespace ovdiff::engine
