// `ovdiff explain`: its picture, its words, its flags.
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "client/cli.h"
#include "client/explain_picture.h"
#include "client/json_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const cv::Scalar kGreen(40, 200, 40);

std::string Png(const cv::Mat& picture) {
  std::vector<uint8_t> bytes;
  cv::imencode(".png", picture, bytes);
  return {bytes.begin(), bytes.end()};
}

v1::PrototypeMatch Match(const std::string& name, v1::PrototypeLevel level,
                         int picture, double cosine) {
  v1::PrototypeMatch match;
  match.set_class_name(name);
  match.set_level(level);
  match.set_source_picture(picture);
  match.set_cosine(cosine);
  if (picture >= 0) {
    match.set_picture_png(Png(cv::Mat(200, 256, CV_8UC3, kGreen)));
    cv::Mat mask = cv::Mat::zeros(200, 256, CV_8UC1);
    mask(cv::Rect(0, 0, 128, 200)).setTo(255);
    match.set_mask_png(Png(mask));
  }
  return match;
}

// A shoe, background and a bag at (40, 10); the bag is filtered.
v1::ExplainResponse Explanation() {
  v1::ExplainResponse response;
  response.mutable_point()->set_x(40);
  response.mutable_point()->set_y(10);
  response.set_label(3);
  response.set_vocabulary("shop");
  response.set_version(7);
  response.add_filtered_classes("bag");
  v1::ExplainedClass& shoe = *response.add_classes();
  shoe.set_name("shoe");
  shoe.set_label(3);
  shoe.set_colour(0xff8000);
  shoe.set_score(0.8125);
  for (const char* name : {"dino", "clip"}) {
    v1::SpaceEvidence& space = *shoe.add_spaces();
    space.set_space(name);
    space.set_score(0.8);
    *space.mutable_winner() =
        Match("shoe", v1::PROTOTYPE_LEVEL_PART, 4, 0.7912);
    *space.mutable_runner_up() =
        Match("shoe", v1::PROTOTYPE_LEVEL_CLASS, -1, 0.7);
  }
  v1::ExplainedClass& background = *response.add_classes();
  background.set_score(0.5);
  v1::SpaceEvidence& space = *background.add_spaces();
  space.set_space("dino");
  space.set_score(0.5);
  *space.mutable_winner() = Match("shoe", v1::PROTOTYPE_LEVEL_INSTANCE, 1, 0.5);
  return response;
}

TEST(ExplainPictureTest, ShowsPhotoScoresAndSupportPictures) {
  const cv::Mat photo(30, 60, CV_8UC3, cv::Scalar(200, 60, 60));
  const v1::ExplainResponse explanation = Explanation();
  const auto drawn = DrawExplanation(photo, "photo.png", explanation);
  ASSERT_TRUE(drawn.ok()) << drawn.status();
  // The photo fills its side; something marks the pixel on it.
  int blue = 0;
  int green = 0;
  int orange = 0;
  for (auto it = drawn->begin<cv::Vec3b>(); it != drawn->end<cv::Vec3b>();
       ++it) {
    blue += *it == cv::Vec3b(200, 60, 60);
    green += *it == cv::Vec3b(40, 200, 40);
    orange += *it == cv::Vec3b(0, 128, 255);
  }
  EXPECT_GT(blue, 560 * 280 * 95 / 100);
  EXPECT_LT(blue, 560 * 280);
  // Half of each of three pictures is inside its mask.
  EXPECT_GT(green, 3 * 128 * 100 / 2 * 8 / 10);
  EXPECT_LT(green, 3 * 128 * 100 / 2 + 1);
  // The bar of the score: 0.8125 of its length.
  EXPECT_GT(orange, 2000);
  // Nothing depends on time or place.
  const auto again = DrawExplanation(photo, "photo.png", explanation);
  EXPECT_EQ(cv::norm(*drawn, *again), 0);
}

TEST(ExplainPictureTest, TakesWhatServersMaySend) {
  const cv::Mat photo(1, 3000, CV_8UC3, cv::Scalar(200, 60, 60));
  v1::ExplainResponse nothing;
  EXPECT_TRUE(DrawExplanation(photo, "", nothing).ok());
  v1::ExplainResponse broken = Explanation();
  broken.mutable_point()->set_y(0);
  auto& winner =
      *broken.mutable_classes(0)->mutable_spaces(0)->mutable_winner();
  winner.set_picture_png("no picture");
  winner.set_mask_png("no mask");
  broken.mutable_classes(0)->set_name(std::string(300, 'n'));
  broken.mutable_classes(0)->set_score(7);
  EXPECT_TRUE(DrawExplanation(photo, std::string(300, 'p'), broken).ok());
  broken.mutable_point()->set_x(3000);
  EXPECT_EQ(DrawExplanation(photo, "", broken).status().code(),
            absl::StatusCode::kInvalidArgument);
}

class CliExplainTest : public ::testing::Test {
 protected:
  CliExplainTest() {
    folder_ = fs::path(::testing::TempDir()) /
              ("ovdiff_explain_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    photo_ = (folder_ / "photo.png").string();
    cv::imwrite(photo_, cv::Mat(48, 64, CV_8UC3, cv::Scalar(40, 90, 200)));
    server_.explanation = Explanation();
    server_.vocabularies["shop"];
  }
  ~CliExplainTest() override { fs::remove_all(folder_); }

  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunCli(arguments, console_, interrupts_);
  }

  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = out_, .err = err_};
  Interrupts interrupts_;
  fs::path folder_;
  std::string photo_;
};

TEST_F(CliExplainTest, WritesThePictureAndSaysTheSame) {
  const std::string path = (folder_ / "why.png").string();
  EXPECT_EQ(Run({"explain", photo_, "--at", "40,10", "-v", "shop", "-o", path,
                 "--only", "shoe", "--max-classes", "2", "--no-prefilter"}),
            kExitOk)
      << err_.str();
  EXPECT_GT(cv::imread(path).cols, 1000);
  EXPECT_THAT(out_.str(), HasSubstr("shoe 0.812\n"));
  EXPECT_THAT(out_.str(), HasSubstr("dino  0.800  part of picture 5 (0.791), "
                                    "then class mean (0.700)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("mean of picture 2 of shoe (0.500)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("bag: left out by the prefilter\n"));
  EXPECT_THAT(out_.str(), HasSubstr(path));
  EXPECT_EQ(server_.explain_request.point().x(), 40);
  EXPECT_EQ(server_.explain_request.point().y(), 10);
  EXPECT_EQ(server_.explain_request.classes(0), "shoe");
  EXPECT_EQ(server_.explain_request.max_classes(), 2);
  EXPECT_TRUE(server_.explain_request.include_pictures());
  EXPECT_TRUE(server_.explain_request.options().has_use_prefilter());
}

TEST_F(CliExplainTest, AClassIsAsGoodAsAPointAndJsonIsJsonOnly) {
  const std::string path = (folder_ / "why.png").string();
  EXPECT_EQ(Run({"explain", photo_, "--class", "shoe", "-v", "shop", "-o", path,
                 "--json"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(server_.explain_request.class_name(), "shoe");
  EXPECT_FALSE(server_.explain_request.has_point());
  EXPECT_EQ(server_.explain_request.options().DebugString(), "");
  const Json json = Json::parse(out_.str());
  EXPECT_EQ(json["file"], path);
  EXPECT_EQ(json["point"]["x"], 40);
  EXPECT_EQ(json["classes"][0]["spaces"][0]["winner"]["level"], "part");
  EXPECT_FALSE(
      json["classes"][0]["spaces"][0]["winner"].contains("picture_png"));
}

TEST_F(CliExplainTest, SaysHowItIsUsed) {
  for (const std::vector<std::string>& target :
       std::vector<std::vector<std::string>>{
           {},
           {"--at", "40"},
           {"--at", "4,x"},
           {"--at", "1,2,3"},
           {"--at", "1,2", "--class", "shoe"}}) {
    std::vector<std::string> arguments = {"explain", photo_, "-v", "shop"};
    arguments.insert(arguments.end(), target.begin(), target.end());
    EXPECT_EQ(Run(arguments), kExitUsage);
    EXPECT_THAT(err_.str(), HasSubstr("--at X,Y"));
  }
  EXPECT_EQ(Run({"explain", photo_, "--at", "0,0", "-v", "nowhere"}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("nowhere"));
  EXPECT_EQ(Run({"explain", (folder_ / "none.png").string(), "--at", "0,0",
                 "-v", "shop"}),
            kExitFailed);
}

TEST_F(CliExplainTest, AddWarnsOfConfusionAndOfPictures) {
  EXPECT_EQ(Run({"add", "twin", "-v", "shop", "--similar-threshold", "0.9"}),
            kExitOk);
  EXPECT_THAT(
      err_.str(),
      HasSubstr("warning: \"twin\" can be taken for \"other twin\" (0.97)\n"));
  EXPECT_THAT(err_.str(),
              HasSubstr("warning: given picture 3 may not show \"twin\": CLIP "
                        "finds \"mug\" there; if it does, give it with a "
                        "mask\n"));
  EXPECT_EQ(server_.add_requests[0].similar_threshold(), 0.9);
  fs::create_directory(folder_ / "twins");
  for (const char* name : {"c.png", "a.png", "b.png"}) {
    fs::copy_file(photo_, folder_ / "twins" / name);
  }
  EXPECT_EQ(Run({"add", "twin", "-v", "shop", "--given",
                 (folder_ / "twins").string()}),
            kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("twins/c.png may not show \"twin\": CLIP"));
  EXPECT_EQ(Run({"add", "twin", "-v", "shop", "--json"}), kExitOk);
  EXPECT_FALSE(server_.add_requests[2].has_similar_threshold());
  EXPECT_EQ(Json::parse(out_.str())["classes"][0]["similar"][0]["name"],
            "other twin");
  EXPECT_EQ(Json::parse(out_.str())["classes"][0]["doubtful_pictures"][0],
            Json({{"index", 2}, {"found", "mug"}}));
  EXPECT_EQ(Run({"add", "twin", "-v", "shop", "--similar-threshold", "2"}),
            kExitUsage);
}

}  // namespace
}  // namespace ovdiff::client
