// Painting: what the seed, the batch size and the prompt do.
#include <algorithm>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

class PaintTest : public EngineTest {};

void ExpectEqual(const SupportSet& a, const SupportSet& b) {
  ASSERT_EQ(a.pictures.size(), b.pictures.size());
  for (size_t i = 0; i < a.pictures.size(); ++i) {
    EXPECT_EQ(a.pictures[i].image.data, b.pictures[i].image.data) << i;
    EXPECT_EQ(a.pictures[i].attribution.data, b.pictures[i].attribution.data)
        << i;
  }
}

TEST_F(PaintTest, GivesPicturesOfTheBundlesSizeWithMapsOfTheLargestLayer) {
  const SupportSet support = Paint("cat");
  ASSERT_EQ(support.pictures.size(), 4u);
  for (const SupportPicture& picture : support.pictures) {
    EXPECT_EQ(picture.image.width, kTinyPictureSize);
    EXPECT_EQ(picture.image.height, kTinyPictureSize);
    EXPECT_EQ(picture.attribution.width, 16);  // 32 pixels / VAE factor 2
    EXPECT_EQ(picture.attribution.height, 16);
    float sum = 0;
    for (const float value : picture.attribution.data) {
      EXPECT_GE(value, 0);
      EXPECT_LE(value, 1);
      sum += value;
    }
    EXPECT_GT(sum, 0);
  }
  EXPECT_NE(support.pictures[0].image.data, support.pictures[1].image.data);
}

TEST_F(PaintTest, BatchSizeAndThreadsChangeNothing) {
  const SupportSet expected = Paint("cat");
  GenerationOptions options = Generation();
  for (const int batch_size : {1, 3, 4}) {
    options.batch_size = batch_size;
    auto support = engine().PaintSupportSet("cat", options, {}, nullptr);
    ASSERT_TRUE(support.ok()) << support.status();
    ExpectEqual(*support, expected);
  }
  auto other = MakeEngine(/*num_threads=*/1);
  auto support = other->PaintSupportSet("cat", options, {}, nullptr);
  ASSERT_TRUE(support.ok()) << support.status();
  ExpectEqual(*support, expected);
}

// Picture i takes the i-th draw, so fewer pictures are the first of more.
TEST_F(PaintTest, FewerPicturesAreTheFirstOnes) {
  GenerationOptions options = Generation();
  options.num_pictures = 2;
  auto support = engine().PaintSupportSet("cat", options, {}, nullptr);
  ASSERT_TRUE(support.ok()) << support.status();
  SupportSet expected = Paint("cat");
  expected.pictures.resize(2);
  ExpectEqual(*support, expected);
}

TEST_F(PaintTest, SeedNoiseTypeGuidanceAndPromptsMatter) {
  const SupportSet base = Paint("cat");
  std::vector<GenerationOptions> variants(5, Generation());
  variants[0].seed = 43;
  variants[1].noise_dtype = "float16";
  variants[2].guidance_scale = 1;  // no guidance
  variants[3].negative_prompt = "dull";
  variants[4].final_sigmas_type = "zero";
  for (const GenerationOptions& variant : variants) {
    auto support = engine().PaintSupportSet("cat", variant, {}, nullptr);
    ASSERT_TRUE(support.ok()) << support.status();
    EXPECT_NE(support->pictures[0].image.data, base.pictures[0].image.data);
    EXPECT_NE(engine().GeneratorFingerprint(variant),
              engine().GeneratorFingerprint(Generation()));
  }
}

TEST_F(PaintTest, SelfAttentionRefinesTheMapsAlone) {
  const SupportSet base = Paint("cat");
  GenerationOptions options = Generation();
  options.self_attention_rounds = 2;
  const auto refined = engine().PaintSupportSet("cat", options, {}, nullptr);
  ASSERT_TRUE(refined.ok()) << refined.status();
  EXPECT_NE(engine().GeneratorFingerprint(options),
            engine().GeneratorFingerprint(Generation()));
  for (size_t i = 0; i < base.pictures.size(); ++i) {
    const SupportPicture& plain = base.pictures[i];
    const SupportPicture& other = refined->pictures[i];
    // Attention that is looked at is rounded otherwise.
    for (size_t k = 0; k < plain.image.data.size(); ++k) {
      ASSERT_NEAR(other.image.data[k], plain.image.data[k], 1);
    }
    ASSERT_EQ(other.attribution.width, plain.attribution.width);
    ASSERT_EQ(other.attribution.height, plain.attribution.height);
    EXPECT_NE(other.attribution.data, plain.attribution.data);
    // Means of what was there: nothing is outside of it.
    const auto [low, high] = std::minmax_element(plain.attribution.data.begin(),
                                                 plain.attribution.data.end());
    for (const float value : other.attribution.data) {
      EXPECT_GE(value, *low * 0.999f);
      EXPECT_LE(value, *high * 1.001f);
    }
  }
  options.self_attention_rounds = 9;
  EXPECT_THAT(std::string(engine()
                              .PaintSupportSet("cat", options, {}, nullptr)
                              .status()
                              .message()),
              HasSubstr("generation.self_attention_rounds is 9"));
}

TEST_F(PaintTest, ReportsProgressOnTheCallersThread) {
  std::vector<BuildProgress> seen;
  const auto caller = std::this_thread::get_id();
  GenerationOptions options = Generation();
  options.batch_size = 3;
  auto support = engine().PaintSupportSet(
      "cat", options, {}, [&](const BuildProgress& progress) {
        EXPECT_EQ(std::this_thread::get_id(), caller);
        seen.push_back(progress);
      });
  ASSERT_TRUE(support.ok()) << support.status();
  EXPECT_EQ(seen.back().pictures_done, 4);
  EXPECT_EQ(seen.back().num_pictures, 4);
  EXPECT_EQ(seen.back().steps_done, 4 * 3);
  EXPECT_EQ(seen.back().num_steps, 4 * 3);
  for (size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GE(seen[i].steps_done, seen[i - 1].steps_done);
    EXPECT_GE(seen[i].pictures_done, seen[i - 1].pictures_done);
  }
}

TEST_F(PaintTest, RefusesPromptsThatDoNotFit) {
  const auto message = [&](const std::string& prompt) {
    const absl::Status status = engine().ValidatePrompt(prompt, Generation());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << prompt;
    EXPECT_EQ(
        engine().PaintSupportSet(prompt, Generation(), {}, nullptr).status(),
        status);
    return std::string(status.message());
  };
  EXPECT_THAT(message(""), HasSubstr("empty"));
  EXPECT_THAT(message(" \t"), HasSubstr("empty"));
  // One token a byte; the context has 24, template, start and end take 3.
  EXPECT_TRUE(engine().ValidatePrompt(std::string(21, 'x'), Generation()).ok());
  EXPECT_THAT(message(std::string(22, 'x')), HasSubstr("has 22 tokens, 25"));
  EXPECT_THAT(message("\xff"), HasSubstr("UTF-8"));
}

TEST_F(PaintTest, RefusesATemplateThatRunsIntoTheClass) {
  GenerationOptions options = Generation();
  options.prompt_template = "photo{}s";
  EXPECT_THAT(engine().ValidatePrompt("cat", options).message(),
              HasSubstr("put spaces around {}"));
  options.prompt_template = "{}";  // whole-prompt mode
  EXPECT_TRUE(engine().ValidatePrompt("cat", options).ok());
  options.prompt_template = "no slot";
  EXPECT_EQ(engine().ValidatePrompt("cat", options).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PaintTest, StopsWhenCancelledOrLate) {
  CallControl cancelled;
  int reports = 0;
  auto result = engine().PaintSupportSet("cat", Generation(), cancelled,
                                         [&](const BuildProgress& progress) {
                                           ++reports;
                                           if (progress.steps_done > 0) {
                                             cancelled.cancellation.Cancel();
                                           }
                                         });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(reports, 2);  // The start and one step.
  CallControl late;
  late.deadline = absl::Now() - absl::Seconds(1);
  EXPECT_EQ(engine()
                .PaintSupportSet("cat", Generation(), late, nullptr)
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(PaintTest, RefusesOptionsOutOfRangeByName) {
  GenerationOptions options = Generation();
  options.num_steps = 0;
  EXPECT_THAT(engine().Validate(options).message(), HasSubstr("num_steps"));
  EXPECT_EQ(
      engine().PaintSupportSet("cat", options, {}, nullptr).status().code(),
      absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ovdiff::engine
