#include "server/prompt_spec.h"

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace ovdiff::server {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;

// Digests of one letter: "61" 32 times for "a".
v1::GivenPicture Digested(char image, char mask = 0) {
  v1::GivenPicture picture;
  picture.mutable_image()->set_encoded(std::string(32, image));
  if (mask != 0) {
    picture.set_mask(std::string(32, mask));
  }
  return picture;
}

std::string Hex(const char* byte) {
  std::string text;
  for (int i = 0; i < 32; ++i) {
    text += byte;
  }
  return text;
}

v1::ClassSpec Everything() {
  v1::ClassSpec spec;
  spec.set_prompt("red sneaker");
  spec.add_synonyms("trainer");
  *spec.add_pictures() = Digested('a');
  *spec.add_pictures() = Digested('b', 'm');
  spec.add_negatives()->set_prompt("picture");
  *spec.add_negatives()->mutable_picture() = Digested('c', 'n');
  spec.add_negatives()->set_prompt("boot");
  return spec;
}

// Keys of classes that were built before hang on this.
TEST(PromptSpecTest, APlainClassIsItsNormalisedPrompt) {
  v1::ClassSpec spec;
  spec.set_name("Red  Sneaker");
  EXPECT_TRUE(IsPlain(spec));
  EXPECT_EQ(PromptSpecText(spec), "red sneaker");
  EXPECT_EQ(DescribePromptSpec("red sneaker"), "red sneaker");
  spec.set_prompt("shoe");
  EXPECT_EQ(PromptSpecText(spec), "shoe");
  EXPECT_THAT(PaintedPrompts(spec), ElementsAre("shoe"));
}

TEST(PromptSpecTest, TheTextSaysAllAndComesBack) {
  const v1::ClassSpec spec = Everything();
  EXPECT_FALSE(IsPlain(spec));
  const std::string text = PromptSpecText(spec);
  EXPECT_EQ(text, "red sneaker\nsynonym trainer\npicture " + Hex("61") +
                      "\npicture " + Hex("62") + " " + Hex("6d") +
                      "\nnegative picture\nnegative-picture " + Hex("63") +
                      " " + Hex("6e") + "\nnegative boot");
  const auto parsed = ParsePromptSpec(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*parsed, spec));
  EXPECT_EQ(DescribePromptSpec(text),
            "red sneaker, trainer, 2 given pictures; not picture, boot, 1 "
            "given picture");
}

TEST(PromptSpecTest, CountsPictures) {
  v1::ClassSpec spec = Everything();
  EXPECT_EQ(NumPaintedPictures(spec, 10), 40);
  EXPECT_EQ(NumSupportPictures(spec, 10), 43);
  EXPECT_THAT(AllPaintedPrompts(spec),
              ElementsAre("red sneaker", "trainer", "picture", "boot"));
  spec.clear_synonyms();
  spec.set_only_given_pictures(true);
  EXPECT_EQ(NumPaintedPictures(spec, 10), 20);
  EXPECT_EQ(NumSupportPictures(spec, 10), 23);
  EXPECT_TRUE(PaintedPrompts(spec).empty());
  const auto parsed = ParsePromptSpec(PromptSpecText(spec));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*parsed, spec));
}

TEST(PromptSpecTest, OtherSpecsHaveOtherTexts) {
  const v1::ClassSpec base = Everything();
  std::vector<v1::ClassSpec> variants(6, base);
  variants[0].set_prompt("blue sneaker");
  variants[1].set_synonyms(0, "runner");
  variants[2].mutable_pictures(0)->set_mask(std::string(32, 'm'));
  variants[3].mutable_pictures()->SwapElements(0, 1);
  *variants[4].mutable_negatives(0)->mutable_picture() = Digested('a');
  variants[5].mutable_negatives()->RemoveLast();
  for (const v1::ClassSpec& variant : variants) {
    EXPECT_NE(PromptSpecText(variant), PromptSpecText(base));
  }
}

TEST(PromptSpecTest, RefusesTextsThatNobodyWrites) {
  for (const std::string& text :
       {std::string("dog\n"), std::string("dog\nnonsense"),
        std::string("dog\npicture abc"), std::string("dog\npicture "),
        "dog\npicture " + Hex("61") + " " + Hex("61") + " " + Hex("61"),
        "dog\npicture " + Hex("6A"), std::string("dog\nsynonym Cat"),
        "dog\npicture " + Hex("61") + "\nsynonym cat",
        std::string("Dog\nsynonym cat")}) {
    EXPECT_EQ(ParsePromptSpec(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_EQ(DescribePromptSpec("dog\nnonsense"), "dog");
}

}  // namespace
}  // namespace ovdiff::server
