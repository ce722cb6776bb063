// Prompts as tokens, noise, and pictures as tensors.
#include "engine/runners/noise.h"
#include "engine/runners/picture_tensor.h"
#include "engine/runners/prompt_tokens.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTemplate[] = "A good picture of a {}";
constexpr int64_t kContext = 77;

class PromptTokensTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = ClipTokenizer::Create(
        OVDIFF_SOURCE_DIR "/deploy/bundles/demo/stable-diffusion/tokenizer");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  absl::StatusOr<PromptTokens> Tokenize(const std::string& prompt,
                                        const std::string& text = kTemplate) {
    return TokenizePrompt(*tokenizer_, text, prompt, kContext);
  }

  // The ids that the class's columns point at, against those of the class.
  void ExpectColumnsAre(const std::string& prompt, const std::string& text) {
    const auto tokens = Tokenize(prompt, text);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    EXPECT_EQ(tokens->ids.size(), static_cast<size_t>(kContext));
    std::vector<int64_t> marked;
    for (const int64_t column : tokens->class_columns) {
      marked.push_back(tokens->ids[column]);
    }
    EXPECT_EQ(marked, tokenizer_->Encode(prompt).value()) << prompt;
  }

  std::unique_ptr<const ClipTokenizer> tokenizer_;
};

TEST_F(PromptTokensTest, MarksTheClassWhereverItStands) {
  ExpectColumnsAre("red sneaker", kTemplate);
  ExpectColumnsAre("potted plant", "{} on a table, 4k");
  ExpectColumnsAre("sneaker", "{}");
}

// A search for the class's first token would stop at the template's words.
TEST_F(PromptTokensTest, AClassMadeOfTheTemplatesWordsIsNotMislocated) {
  const auto head = tokenizer_->Encode("A good picture of a");
  ASSERT_TRUE(head.ok());
  const auto first = 1 + static_cast<int64_t>(head->size());
  const auto tokens = Tokenize("a good picture");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->class_columns.front(), first);
  EXPECT_EQ(tokens->class_columns.size(),
            tokenizer_->Encode("a good picture")->size());
  EXPECT_EQ(tokens->ids.front(), tokenizer_->start_id());
  EXPECT_EQ(tokens->ids.back(), tokenizer_->pad_id());
}

TEST_F(PromptTokensTest, RefusesWhatDoesNotFit) {
  const absl::Status status = Tokenize(std::string(200, '7')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("at most 77"));
  EXPECT_EQ(Tokenize("sneaker", "x{}y").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PromptTokensTest, LongTextsAreCutBeforeTheEndToken) {
  const auto ids = UnpaddedIds(*tokenizer_, std::string(200, '7'), kContext);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(ids->size(), static_cast<size_t>(kContext));
  EXPECT_EQ(ids->back(), tokenizer_->end_id());
}

// Values of networks.md section 10, pitfalls 10 and 11.
TEST(NoiseSource, DrawsTorchsNumbersInEitherType) {
  const torch::Tensor single =
      NoiseSource(42).Draw({1, 4, 8, 8}, torch::kFloat32);
  const float expected[] = {1.926915f, 1.487284f, 0.9007172f, -2.105521f};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(single.flatten()[i].item<float>(), expected[i], 1e-5);
  }
  const torch::Tensor half =
      NoiseSource(42).Draw({1, 4, 8, 8}, torch::kFloat16);
  EXPECT_EQ(half.scalar_type(), torch::kFloat32);
  const float halves[] = {0.3867f, 1.4717f, 0.1469f, -1.1191f};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(half.flatten()[i].item<float>(), halves[i], 1e-3);
  }
}

TEST(NoiseSource, ADrawOfManyIsTheDrawsOfEach) {
  NoiseSource one(5);
  NoiseSource many(5);
  const torch::Tensor all = many.Draw({3, 4, 8, 8}, torch::kFloat32);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(
        torch::equal(one.Draw({1, 4, 8, 8}, torch::kFloat32)[0], all[i]));
  }
}

TEST(PictureTensor, KeepsBytesBothWaysAndCutsWhatIsBetween) {
  const Image image{.width = 2, .height = 1, .data = {0, 128, 255, 1, 2, 254}};
  const torch::Tensor tensor = ToTensor(image);
  EXPECT_EQ(tensor.sizes(), (torch::IntArrayRef{1, 3, 1, 2}));
  EXPECT_FLOAT_EQ(tensor[0][2][0][0].item<float>(), 1.0f);
  // 0.999 of a step is cut, values outside are clamped.
  const torch::Tensor values =
      torch::tensor({-0.5f, 127.999f / 255, 7.0f}).view({3, 1, 1});
  EXPECT_THAT(ToImage(values).data, ElementsAre(0, 127, 255));
}

TEST(PictureTensor, NormalizesEachChannel) {
  const Normalization normalization{{0.5, 0.25, 0}, {0.5, 0.25, 2}};
  const torch::Tensor result =
      Normalize(torch::ones({1, 3, 1, 1}), normalization);
  EXPECT_FLOAT_EQ(result[0][0][0][0].item<float>(), 1.0f);
  EXPECT_FLOAT_EQ(result[0][1][0][0].item<float>(), 3.0f);
  EXPECT_FLOAT_EQ(result[0][2][0][0].item<float>(), 0.5f);
}

}  // namespace
}  // namespace ovdiff::engine
