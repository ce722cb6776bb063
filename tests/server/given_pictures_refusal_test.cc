// Classes of given pictures, synonyms and negatives that AddClasses refuses.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/given_pictures_fixture.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

TEST_F(GivenPicturesTest, RefusesPicturesThatAreNotSound) {
  const std::string at = "classes[0].pictures[1]";
  const auto refused = [&](const v1::GivenPicture& picture,
                           const std::string& field) {
    v1::AddClassesRequest request = Request("vase");
    *request.mutable_classes(0)->add_pictures() = Masked(kRed, kBlue);
    *request.mutable_classes(0)->add_pictures() = picture;
    return ExpectRefused(request, field);
  };
  EXPECT_THAT(refused({}, at + ".image"), HasSubstr("missing"));
  v1::GivenPicture picture = Unmasked(kRed);
  picture.mutable_image()->set_encoded("no picture");
  refused(picture, at + ".image");
  picture = Masked(kRed, kBlue);
  picture.set_mask(LeftMask(8, 6, 4));
  EXPECT_THAT(refused(picture, at + ".mask"),
              testing::AllOf(HasSubstr("8x6"), HasSubstr("8x8")));
  picture.set_mask(LeftMask(8, 8, 0));
  EXPECT_THAT(refused(picture, at + ".mask"), HasSubstr("no object pixel"));
  picture.set_mask("no mask");
  refused(picture, at + ".mask");
  EXPECT_THAT(refused(Masked(kRed, kBlue), at),
              HasSubstr("the same as classes[0].pictures[0]"));
  // The same picture with another mask is another one.
  picture.set_mask(LeftMask(8, 8, 2));
  v1::AddClassesRequest request = Request("vase");
  *request.mutable_classes(0)->add_pictures() = Masked(kRed, kBlue);
  *request.mutable_classes(0)->add_pictures() = picture;
  request.set_validate_only(true);
  std::vector<v1::AddClassesResponse> messages;
  EXPECT_TRUE(server_->Add(request, &messages).ok());
  EXPECT_EQ(store_->Stats()->num_support_sets, 0);
  request.set_validate_only(false);
  v1::GivenPicture& negative =
      *request.mutable_classes(0)->add_negatives()->mutable_picture();
  negative = Unmasked(kBlue);
  negative.set_mask(LeftMask(9, 8, 4));
  ExpectRefused(request, "classes[0].negatives[0].picture.mask");
}

TEST_F(GivenPicturesTest, BoundsWhatIsDecoded) {
  ServerOptions options = TestOptions();
  options.limits.max_image_pixels = 100;
  server_ = std::make_unique<TestServer>(engine_, *store_, options);
  v1::AddClassesRequest request = Request("vase");
  for (uint32_t i = 0; i < 26; ++i) {
    *request.mutable_classes(0)->add_pictures() = Unmasked(i);
  }
  EXPECT_THAT(ExpectRefused(request, "classes"),
              testing::AllOf(HasSubstr("1664"), HasSubstr("1600")));
}

TEST_F(GivenPicturesTest, RefusesSpecsThatContradictThemselves) {
  const auto refused = [&](const std::string& field, auto change) {
    v1::AddClassesRequest request = Request("vase");
    change(*request.mutable_classes(0));
    return ExpectRefused(request, field);
  };
  refused("classes[0].synonyms[1]", [](v1::ClassSpec& spec) {
    spec.add_synonyms("jar");
    spec.add_synonyms(" JAR ");
  });
  refused("classes[0].synonyms[0]",
          [](v1::ClassSpec& spec) { spec.add_synonyms("Vase"); });
  refused("classes[0].synonyms[0]",
          [](v1::ClassSpec& spec) { spec.add_synonyms("two\nlines"); });
  refused("classes[0].synonyms", [](v1::ClassSpec& spec) {
    for (int i = 0; i < 9; ++i) {
      spec.add_synonyms(absl::StrCat("jar ", i));
    }
  });
  refused("classes[0].negatives[0].prompt", [](v1::ClassSpec& spec) {
    spec.add_synonyms("jar");
    spec.add_negatives()->set_prompt("jar");
  });
  refused("classes[0].negatives[0].prompt",
          [](v1::ClassSpec& spec) { spec.add_negatives()->set_prompt(""); });
  refused("classes[0].negatives[0]",
          [](v1::ClassSpec& spec) { spec.add_negatives(); });
  refused("classes[0].negatives[0].prompt", [](v1::ClassSpec& spec) {
    std::string words = "w";
    for (int i = 0; i < 20; ++i) {
      words += " w";
    }
    spec.add_negatives()->set_prompt(words);
  });
  refused("classes[0].only_given_pictures",
          [](v1::ClassSpec& spec) { spec.set_only_given_pictures(true); });
  refused("classes[0].only_given_pictures", [](v1::ClassSpec& spec) {
    spec.set_only_given_pictures(true);
    spec.add_synonyms("jar");
    *spec.add_pictures() = Unmasked(kRed);
  });
  refused("classes[0].negatives", [](v1::ClassSpec& spec) {
    spec.set_kind(v1::CLASS_KIND_STUFF);
    spec.add_negatives()->set_prompt("jar");
  });
  refused("classes[0].pictures", [](v1::ClassSpec& spec) {
    for (uint32_t i = 0; i < 65; ++i) {
      *spec.add_pictures() = Unmasked(i);
    }
  });
  v1::AddClassesRequest request = Request("vase");
  request.mutable_options()->set_num_pictures(200);
  request.mutable_classes(0)->add_synonyms("jar");
  request.mutable_classes(0)->add_negatives()->set_prompt("cup");
  EXPECT_THAT(ExpectRefused(request, "classes[0]"),
              testing::AllOf(HasSubstr("600"), HasSubstr("512")));
}

}  // namespace
}  // namespace ovdiff::server
