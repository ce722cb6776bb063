#include "engine/text/clip_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/text/prompt_text.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTestdata[] = OVDIFF_SOURCE_DIR "/tests/engine/text/testdata";

const ClipTokenizer& RealTokenizer() {
  static const ClipTokenizer* const kTokenizer = [] {
    auto tokenizer = ClipTokenizer::Create(kTestdata);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return std::move(tokenizer).value().release();
  }();
  return *kTokenizer;
}

// With start and end, without padding, as networks.md 1.8 prints them.
std::vector<int64_t> WithEnds(const std::string& text) {
  std::vector<int64_t> ids = RealTokenizer().Encode(text).value();
  ids.insert(ids.begin(), RealTokenizer().start_id());
  ids.push_back(RealTokenizer().end_id());
  return ids;
}

TEST(ClipTokenizerTest, KnowsTheRealVocabulary) {
  EXPECT_EQ(RealTokenizer().start_id(), 49406);
  EXPECT_EQ(RealTokenizer().end_id(), 49407);
  EXPECT_EQ(RealTokenizer().pad_id(), 49407);
  EXPECT_EQ(RealTokenizer().vocab_size(), 49408);
  EXPECT_EQ(RealTokenizer().model_max_length(), 77);
}

// Computed from openai/CLIP's own file (networks.md 1.8).
TEST(ClipTokenizerTest, AgreesWithOpenAi) {
  EXPECT_THAT(WithEnds("a photo of a cat"),
              ElementsAre(49406, 320, 1125, 539, 320, 2368, 49407));
  EXPECT_THAT(WithEnds("A good picture of a airplane"),
              ElementsAre(49406, 320, 886, 1674, 539, 320, 16451, 49407));
  EXPECT_THAT(WithEnds("A good picture of a potted plant"),
              ElementsAre(49406, 320, 886, 1674, 539, 320, 48581, 3912, 49407));
  EXPECT_THAT(
      WithEnds("text, low quality, blurry, cartoon, meme, low resolution, "
               "bad, poor, faded"),
      ElementsAre(49406, 4160, 267, 1042, 3027, 267, 21977, 267, 7651, 267,
                  9169, 267, 1042, 9977, 267, 2103, 267, 3665, 267, 26051,
                  49407));
  EXPECT_THAT(WithEnds("it's 2024!"),
              ElementsAre(49406, 585, 568, 273, 271, 273, 275, 256, 49407));
  EXPECT_THAT(WithEnds(""), ElementsAre(49406, 49407));
}

// testdata/goldens.json: 237 texts through transformers 5.23, Unicode included.
TEST(ClipTokenizerTest, AgreesWithTransformers) {
  std::ifstream file(std::string(kTestdata) + "/goldens.json");
  const nlohmann::json goldens = nlohmann::json::parse(file);
  ASSERT_GE(goldens.size(), 150u);
  for (const auto& golden : goldens) {
    const auto text = golden["text"].get<std::string>();
    const auto ids = RealTokenizer().Encode(text);
    ASSERT_TRUE(ids.ok()) << text << ": " << ids.status();
    EXPECT_EQ(*ids, golden["ids"].get<std::vector<int64_t>>())
        << golden["text"].dump(-1, ' ', true);
    EXPECT_EQ(NormalizeText(text).value(),
              golden["normalized"].get<std::string>())
        << golden["text"].dump(-1, ' ', true);
  }
}

TEST(ClipTokenizerTest, PadsAndTruncatesForTheModel) {
  const ClipTokenizer& tokenizer = RealTokenizer();
  EXPECT_THAT(tokenizer.EncodeForModel("a cat", 6, 0).value(),
              ElementsAre(49406, 320, 2368, 49407, 0, 0));
  EXPECT_THAT(tokenizer.EncodeForModel("a photo of a cat", 4, 0).value(),
              ElementsAre(49406, 320, 1125, 49407));
  EXPECT_THAT(tokenizer.EncodeForModel("a cat", 2, 0).value(),
              ElementsAre(49406, 49407));
  const auto full = tokenizer.EncodeForModel("a cat").value();
  ASSERT_EQ(full.size(), 77u);
  EXPECT_EQ(full[4], 49407);
  EXPECT_EQ(full[76], 49407);
  EXPECT_EQ(tokenizer.EncodeForModel("a cat", 1, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ClipTokenizerTest, RefusesTextThatIsNotUtf8) {
  for (const std::string text : {"caf\xe9", "\xff", "a\xc3", "\xed\xa0\x80",
                                 "\xf4\x90\x80\x80", "\xc0\xaf"}) {
    const auto ids = RealTokenizer().Encode(text);
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(ids.status().message()), HasSubstr("UTF-8"));
    EXPECT_EQ(NormalizePrompt(text).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(RealTokenizer().Encode("caf\xe9").status().message()),
              HasSubstr("byte 3"));
}

TEST(ClipTokenizerTest, ALongWordTakesNoQuadraticTime) {
  const std::string word(200'000, 'a');
  const auto ids = RealTokenizer().Encode(word);
  ASSERT_TRUE(ids.ok());
  EXPECT_LT(ids->size(), word.size());
}

TEST(ClipTokenizerTest, ThreadsShareOneTokenizer) {
  const std::vector<int64_t> expected = WithEnds("a photo of a cat");
  std::vector<std::thread> threads;
  std::vector<std::vector<int64_t>> results(4);
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&results, i] {
      for (int round = 0; round < 100; ++round) {
        results[i] = WithEnds("a photo of a cat");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& result : results) {
    EXPECT_EQ(result, expected);
  }
}

TEST(NormalizePromptTest, EqualTokensGetEqualKeys) {
  EXPECT_EQ(NormalizePrompt("  Red\t\nSneaker ").value(), "red sneaker");
  EXPECT_EQ(NormalizePrompt("Cafe\u0301").value(), "caf\u00e9");
  EXPECT_EQ(NormalizePrompt("\u3000Καλός ΚΑΛΌΣ\u00a0").value(), "καλός καλόσ");
  EXPECT_EQ(NormalizePrompt("\u0130").value(), "i\u0307");
  EXPECT_EQ(NormalizePrompt(" \t ").value(), "");
  EXPECT_EQ(NormalizePrompt("").value(), "");
}

TEST(SplitWordsTest, FollowsClipsPattern) {
  EXPECT_THAT(
      SplitWords("it's 2024! we've 'em"),
      ElementsAre("it", "'s", "2", "0", "2", "4", "!", "we", "'ve", "'", "em"));
  EXPECT_THAT(SplitWords("a\u00a0b\u2003c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(SplitWords("!'s"), ElementsAre("!'", "s"));
}

// A folder of its own with a small vocabulary, which each test damages.
class TokenizerFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("ovdiff_tokenizer_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    Write("vocab.json",
          R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4,
              "<|startoftext|>": 5, "<|endoftext|>": 6, "!": 7})");
    Write("merges.txt", "#version: 0.2\na b</w>\n");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  absl::Status Error() const {
    return ClipTokenizer::Create(folder_.string()).status();
  }
  void ExpectRefused(const std::string& part) const {
    EXPECT_EQ(Error().code(), absl::StatusCode::kFailedPrecondition) << Error();
    EXPECT_THAT(std::string(Error().message()), HasSubstr(part));
  }

  fs::path folder_;
};

TEST_F(TokenizerFilesTest, WorksOnASmallVocabulary) {
  const auto tokenizer = ClipTokenizer::Create(folder_.string());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->Encode("AB b").value(), ElementsAre(4, 3));
  // A byte that the vocabulary lacks is the unknown token.
  EXPECT_THAT((*tokenizer)->Encode("az").value(), ElementsAre(0, 6));
  EXPECT_EQ((*tokenizer)->model_max_length(), 77);
}

TEST_F(TokenizerFilesTest, ReadsTheConfiguration) {
  Write("tokenizer_config.json",
        R"({"model_max_length": 16, "pad_token": "a", "bos_token":
            {"content": "<|startoftext|>", "lstrip": false}})");
  Write("special_tokens_map.json", R"({"pad_token": "!"})");
  const auto tokenizer = ClipTokenizer::Create(folder_.string());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->model_max_length(), 16);
  EXPECT_EQ((*tokenizer)->pad_id(), 7);
  EXPECT_EQ((*tokenizer)->start_id(), 5);
  EXPECT_EQ((*tokenizer)->EncodeForModel("ab")->back(), 7);
}

TEST_F(TokenizerFilesTest, NamesWhatIsMissing) {
  fs::remove(folder_ / "merges.txt");
  EXPECT_EQ(Error().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("merges.txt"));
  fs::remove(folder_ / "vocab.json");
  EXPECT_EQ(Error().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("vocab.json"));
}

TEST_F(TokenizerFilesTest, RefusesDamagedFiles) {
  Write("merges.txt", "#version: 0.2\na b</w>\na c\n");
  ExpectRefused("merges.txt line 3");
  Write("merges.txt", "#version: 0.2\na b</w> c\n");
  ExpectRefused("merges.txt line 2");
  Write("merges.txt", "#version: 0.2\na b</w>\n");
  Write("vocab.json", R"({"a": 0, "b": 0})");
  ExpectRefused("given twice");
  Write("vocab.json", R"({"a": -1})");
  ExpectRefused("non-negative");
  Write("vocab.json", R"({"a": 1.5})");
  ExpectRefused("non-negative");
  Write("vocab.json", R"(["a"])");
  ExpectRefused("vocab.json");
  Write("vocab.json", R"({"a": 0, )");
  ExpectRefused("vocab.json");
}

TEST_F(TokenizerFilesTest, RefusesSpecialsOutsideTheVocabulary) {
  Write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  ExpectRefused("'<end>'");
  Write("tokenizer_config.json", R"({"eos_token": 7})");
  ExpectRefused("eos_token");
}

TEST(BundleTokenizerTest, TheDemoBundlesTokenizerLoads) {
  const auto tokenizer = ClipTokenizer::Create(
      OVDIFF_SOURCE_DIR "/deploy/bundles/demo/stable-diffusion/tokenizer");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = (*tokenizer)->EncodeForModel("A good picture of a sneaker");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(ids->size(), size_t((*tokenizer)->model_max_length()));
  EXPECT_EQ(ids->front(), (*tokenizer)->start_id());
}

}  // namespace
}  // namespace ovdiff::engine
