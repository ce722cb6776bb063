#include "client/demo.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/demo_report.h"
#include "client/image_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Two scenes of a cat (index 1) and a <dog> (index 2), 8 x 8.
class DemoTest : public ::testing::Test {
 protected:
  DemoTest() {
    folder_ = fs::path(::testing::TempDir()) /
              ("ovdiff_demo_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "scenes");
    std::ofstream(folder_ / "scenes/scenes.json")
        << R"({"labels":["background","cat","<dog>"],"scenes":[
              {"file":"00.png","caption":"a cat","classes":["cat"]},
              {"file":"01.png","caption":"a <dog> and a sneaker"}]})";
    cat_ = cv::Mat::zeros(8, 8, CV_16UC1);
    cat_.rowRange(0, 4) = 1;
    dog_ = cv::Mat::zeros(8, 8, CV_16UC1);
    dog_.rowRange(0, 2) = 2;
    AddScene("00", cat_, 50);
    AddScene("01", dog_, 150);
    options_.scenes = (folder_ / "scenes").string();
    options_.out = (folder_ / "out").string();
    client_ = *Client::Create({.server = server_.address()});
  }

  ~DemoTest() override { fs::remove_all(folder_); }

  void AddScene(const std::string& name, const cv::Mat& truth, int grey) {
    cv::Mat labels;
    truth.convertTo(labels, CV_8UC1);
    const std::string base = (folder_ / "scenes" / name).string();
    cv::imwrite(base + ".png", cv::Mat(8, 8, CV_8UC3, cv::Scalar::all(grey)));
    cv::imwrite(base + ".labels.png", labels);
  }
  std::string Bytes(const std::string& file) {
    return *ReadFileBytes((folder_ / "scenes" / file).string(), 1 << 20);
  }
  absl::StatusOr<Json> Run() {
    return RunDemo(options_, *client_, console_, interrupts_);
  }

  FakeServer server_;
  std::unique_ptr<Client> client_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = out_, .err = err_};
  Interrupts interrupts_;
  DemoOptions options_;
  fs::path folder_;
  cv::Mat cat_;
  cv::Mat dog_;
};

TEST_F(DemoTest, MeasuresKnownAnswers) {
  server_.answers[Bytes("00.png")] = cat_;
  cv::Mat half_dog = dog_.clone();
  half_dog.row(1) = 0;
  server_.answers[Bytes("01.png")] = half_dog;
  auto summary = Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  // Background: 32 + 48 shared of 32 + 56; cat: 32 of 32; dog: 8 of 16.
  EXPECT_NEAR((*summary)["miou"], (80.0 / 88 + 1 + 0.5) / 3, 1e-6);
  EXPECT_NEAR((*summary)["foreground_iou"], 40.0 / 48, 1e-6);
  EXPECT_EQ((*summary)["classes"][1]["iou"], 0.5);
  EXPECT_EQ((*summary)["scenes"][0]["miou"], 1.0);
  EXPECT_EQ((*summary)["scenes"][1]["classes"][0], "<dog>");
  EXPECT_EQ((*summary)["scenes"][0]["milliseconds"], 12.3);
  EXPECT_EQ((*summary)["miou_single_space"].size(), 2u);
  EXPECT_EQ((*summary)["colour_scenes"].size(), 1u);
  EXPECT_EQ((*summary)["server"]["version"], "9.8.7");
  EXPECT_TRUE((*summary)["reused_classes"].empty());
  // Two scenes with all spaces and with each of two, and one of colours.
  EXPECT_EQ(server_.segment_calls, 7);
}

TEST_F(DemoTest, WritesAPageWhosePicturesAreThere) {
  ASSERT_TRUE(Run().ok());
  const std::string page =
      *ReadFileBytes(options_.out + "/index.html", 1 << 20);
  EXPECT_THAT(page, HasSubstr("a &lt;dog&gt; and a sneaker"));
  EXPECT_THAT(page, HasSubstr("gen-fingerprint"));
  size_t pictures = 0;
  for (size_t at = page.find("src=\""); at != std::string::npos;
       at = page.find("src=\"", at + 1)) {
    const std::string path =
        page.substr(at + 5, page.find('"', at + 5) - at - 5);
    EXPECT_TRUE(fs::exists(fs::path(options_.out) / path)) << path;
    ++pictures;
  }
  EXPECT_EQ(pictures, 2u * 5 + 2);
  const Json summary =
      Json::parse(*ReadFileBytes(options_.out + "/summary.json", 1 << 20));
  EXPECT_EQ(summary["vocabulary"], "demo");
  EXPECT_THAT(out_.str(), HasSubstr("index.html"));
}

TEST_F(DemoTest, SecondRunSaysWhatItReused) {
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(out_.str(), HasSubstr("Every class was built now"));
  auto summary = Run();
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ((*summary)["reused_classes"].size(), 4u);
  EXPECT_THAT(out_.str(), HasSubstr("4 classes were reused from the store"));
  EXPECT_THAT(*ReadFileBytes(options_.out + "/index.html", 1 << 20),
              HasSubstr("4 of 4 classes came from the store"));
  EXPECT_NE(server_.add_requests[0].request_id(),
            server_.add_requests[2].request_id());
}

TEST_F(DemoTest, FailsClearlyOnBadScenes) {
  std::ofstream(folder_ / "scenes/scenes.json") << "{";
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("scenes.json"));
  std::ofstream(folder_ / "scenes/scenes.json")
      << R"({"labels":["background","cat"],"scenes":[{"file":"01.png"}]})";
  EXPECT_THAT(std::string(Run().status().message()),
              HasSubstr("values up to 2"));
  options_.scenes = "/nowhere";
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DemoTest, FailsWhenAClassIsNotBuilt) {
  options_.colour_classes = {"bad"};
  EXPECT_THAT(std::string(Run().status().message()),
              HasSubstr("class 'bad' was not built"));
}

TEST(HtmlEscapeTest, EscapesEverySpecial) {
  EXPECT_EQ(HtmlEscape("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
}

}  // namespace
}  // namespace ovdiff::client
