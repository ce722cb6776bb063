// The harness's C++ part, against a fake engine whose masks are known.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/accuracy/confusion.h"
#include "benchmarks/accuracy/picture_files.h"
#include "benchmarks/accuracy/plan.h"
#include "benchmarks/accuracy/result_file.h"
#include "benchmarks/accuracy/runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "opencv2/core.hpp"
#include "opencv2/imgcodecs.hpp"
#include "server/image_codec.h"
#include "tests/server/fake_engine.h"

namespace ovdiff::accuracy {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::vector<std::vector<int64_t>> Rows(const std::vector<Confusion>& found) {
  std::vector<std::vector<int64_t>> rows;
  for (const Confusion& item : found) {
    rows.push_back({item.truth, item.predicted, item.pixels});
  }
  return rows;
}

TEST(CountConfusionsTest, CountsPairsAndLeavesIgnoredPixelsOut) {
  const TrueLabels truth{3, 2, {0, 1, 1, 255, 2, 2}};
  const LabelMap predicted{3, 2, {0, 1, 2, 1, 2, 0}};
  const auto found = CountConfusions(truth, predicted, {{0, 1, 2}});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(Rows(*found),
              ElementsAre(ElementsAre(0, 0, 1), ElementsAre(1, 1, 1),
                          ElementsAre(1, 2, 1), ElementsAre(2, 0, 1),
                          ElementsAre(2, 2, 1)));
}

TEST(CountConfusionsTest, SynonymsShareALabel) {
  const TrueLabels truth{2, 1, {7, 7}};
  const LabelMap predicted{2, 1, {1, 2}};
  const auto found = CountConfusions(truth, predicted, {{0, 7, 7}});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(Rows(*found), ElementsAre(ElementsAre(7, 7, 2)));
}

TEST(CountConfusionsTest, RefusesOtherSizesAndUnknownLabels) {
  const TrueLabels truth{2, 1, {0, 0}};
  EXPECT_THAT(CountConfusions(truth, {1, 2, {0, 0}}, {{0}}).status().message(),
              HasSubstr("2x1 pixels and the picture's are 1x2"));
  EXPECT_THAT(CountConfusions(truth, {2, 1, {0, 3}}, {{0}}).status().message(),
              HasSubstr("label 3"));
}

class HarnessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (fs::temp_directory_path() / "harnessXXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    // Left half red, right half green; the last column is not looked at.
    cv::Mat picture(4, 8, CV_8UC3, cv::Scalar(0x20, 0x20, 0xE0));
    picture.colRange(4, 8) = cv::Scalar(0x20, 0xC0, 0x20);
    cv::imwrite(Path("picture.png"), picture);
    cv::Mat labels(4, 8, CV_8UC1, cv::Scalar(1));
    labels.colRange(4, 8) = 2;
    labels.col(7) = 255;
    cv::imwrite(Path("labels.png"), labels);
    cv::imwrite(Path("mask.png"), cv::Mat(4, 8, CV_8UC1, cv::Scalar(255)));
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return (folder_ / name).string();
  }

  json PlanJson() const {
    return {{"format", 1},
            {"bundle", "fake"},
            {"cache", Path("cache")},
            {"out", Path("out")},
            {"num_seeds", 1},
            {"classes",
             {{{"prompt", "red boat"}, {"kind", "thing"}, {"label", 1}},
              {{"prompt", "green boat"}, {"kind", "thing"}, {"label", 2}}}},
            {"pictures",
             {{{"id", "a"},
               {"image", Path("picture.png")},
               {"labels", Path("labels.png")}}}},
            {"variants", {{{"name", "full"}, {"options", json::object()}}}}};
  }

  absl::StatusOr<Plan> Read(const json& plan) const {
    std::ofstream(Path("plan.json")) << plan.dump();
    return ReadPlan(Path("plan.json"));
  }

  absl::Status Run(const json& plan, const std::string& provenance = "p") {
    const auto read = Read(plan);
    if (!read.ok()) {
      return read.status();
    }
    Runner runner(*read, engine_, *store_, provenance,
                  [](const std::string&) {});
    return runner.Run();
  }

  std::vector<json> Lines(const std::string& name) const {
    std::ifstream file(Path(name));
    std::vector<json> lines;
    for (std::string line; std::getline(file, line);) {
      lines.push_back(json::parse(line));
    }
    return lines;
  }

  fs::path folder_;
  server::FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
};

TEST_F(HarnessTest, SegmentsAndCounts) {
  ASSERT_EQ(Run(PlanJson()), absl::OkStatus());
  const std::vector<json> lines = Lines("out/full.seed0.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["variant"], "full");
  EXPECT_EQ(lines[1]["id"], "a");
  EXPECT_EQ(lines[1]["confusion"], json({1, 1, 16, 2, 2, 12}));
  EXPECT_EQ(lines[1]["kept"], json({1, 2}));
}

TEST_F(HarnessTest, GoesOnWhereItWasStopped) {
  json plan = PlanJson();
  plan["pictures"].push_back(plan["pictures"][0]);
  plan["pictures"][1]["id"] = "b";
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(engine_.num_segmented, 2);
  const auto whole = fs::file_size(Path("out/full.seed0.jsonl"));
  fs::resize_file(Path("out/full.seed0.jsonl"), whole - 5);
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(engine_.num_segmented, 3);
  EXPECT_EQ(Lines("out/full.seed0.jsonl").size(), 3u);
  EXPECT_EQ(engine_.num_painted, 2) << "support pictures are painted once";
}

TEST_F(HarnessTest, OtherProgramOptionsOrPicturesCountAnew) {
  ASSERT_EQ(Run(PlanJson()), absl::OkStatus());
  ASSERT_EQ(Run(PlanJson(), "another program"), absl::OkStatus());
  EXPECT_EQ(engine_.num_segmented, 2);
  json plan = PlanJson();
  plan["variants"][0]["options"]["segment"]["use_part_level"] = false;
  ASSERT_EQ(Run(plan, "another program"), absl::OkStatus());
  EXPECT_EQ(engine_.num_segmented, 3);
  cv::imwrite(Path("labels.png"), cv::Mat(4, 8, CV_8UC1, cv::Scalar(1)));
  ASSERT_EQ(Run(plan, "another program"), absl::OkStatus());
  EXPECT_EQ(engine_.num_segmented, 4);
  EXPECT_EQ(Lines("out/full.seed0.jsonl").back()["confusion"],
            json({1, 1, 16, 1, 2, 16}));
}

TEST_F(HarnessTest, FewerPicturesAreTheFirstOfTheMostThatAnyVariantWants) {
  json plan = PlanJson();
  for (const int n : {1, 2, 5}) {
    plan["variants"].push_back(
        {{"name", absl::StrCat("n-", n)},
         {"options", {{"generation", {{"num_pictures", n}}}}}});
  }
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(engine_.num_painted, 2) << "each class once, five pictures";
  EXPECT_EQ(engine_.num_encoded, 8);
}

TEST_F(HarnessTest, SeedsPaintAnew) {
  json plan = PlanJson();
  plan["num_seeds"] = 2;
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(engine_.num_painted, 4);
  EXPECT_EQ(Lines("out/full.seed1.jsonl")[0]["seed"], 1);
}

TEST_F(HarnessTest, AClassWithoutForegroundIsLeftOutAndNamed) {
  json plan = PlanJson();
  plan["classes"].push_back(
      {{"prompt", "invisible boat"}, {"kind", "thing"}, {"label", 3}});
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(Lines("out/full.seed0.jsonl")[0]["left_out"],
            json({"invisible boat"}));
}

TEST_F(HarnessTest, OtherFailuresStopTheRunAndNameTheFile) {
  json plan = PlanJson();
  plan["pictures"][0]["labels"] = Path("picture.png");
  EXPECT_THAT(std::string(Run(plan).message()), HasSubstr("picture.png"));
  plan = PlanJson();
  plan["classes"][0]["prompt"] = "unpaintable boat";
  EXPECT_TRUE(absl::IsInternal(Run(plan)));
}

TEST_F(HarnessTest, SupportPicturesMayComeFromFiles) {
  json plan = PlanJson();
  plan["variants"][0]["support"] = "mine";
  const json pictures =
      json::array({json::array({Path("picture.png"), Path("mask.png")})});
  plan["supports"]["mine"] = json::array({json::array({pictures, pictures})});
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(engine_.num_painted, 0);
  EXPECT_EQ(engine_.num_encoded, 2);
}

TEST_F(HarnessTest, MasksFromFilesSayWhichPixelsAreTheClass) {
  cv::Mat left = cv::Mat::zeros(4, 8, CV_8UC1);
  left.colRange(0, 4) = 255;
  cv::imwrite(Path("left.png"), left);
  cv::imwrite(Path("right.png"), 255 - left);
  const auto predicted = [&](const std::string& red, const std::string& green) {
    json plan = PlanJson();
    plan["variants"][0]["support"] = "mine";
    json classes = json::array();
    for (const std::string& mask : {red, green}) {
      classes.push_back(
          json::array({json::array({Path("picture.png"), Path(mask)})}));
    }
    plan["supports"]["mine"] = json::array({classes});
    EXPECT_EQ(Run(plan), absl::OkStatus());
    return Lines("out/full.seed0.jsonl").back()["confusion"];
  };
  EXPECT_EQ(predicted("left.png", "right.png"), json({1, 1, 16, 2, 2, 12}));
  EXPECT_EQ(predicted("right.png", "left.png"), json({1, 2, 16, 2, 1, 12}));
}

TEST_F(HarnessTest, MasksFromFilesHaveTheirPicturesSize) {
  cv::imwrite(Path("small.png"), cv::Mat(2, 4, CV_8UC1, cv::Scalar(255)));
  json plan = PlanJson();
  plan["variants"][0]["support"] = "mine";
  const json pictures =
      json::array({json::array({Path("picture.png"), Path("small.png")})});
  plan["supports"]["mine"] = json::array({json::array({pictures, pictures})});
  EXPECT_THAT(std::string(Run(plan).message()),
              HasSubstr("small.png is 4x2; its picture is 8x4"));
}

TEST_F(HarnessTest, TrueClassesAreThoseOfThePicture) {
  cv::imwrite(Path("labels.png"), cv::Mat(4, 8, CV_8UC1, cv::Scalar(2)));
  json plan = PlanJson();
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(Lines("out/full.seed0.jsonl").back()["kept"], json({1, 2}));
  plan["variants"][0]["true_classes"] = true;
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(Lines("out/full.seed0.jsonl").back()["kept"], json({2}));
}

TEST_F(HarnessTest, AVariantMayHaveAProfile) {
  json plan = PlanJson();
  plan["variants"][0]["profile"] = "quick";
  ASSERT_EQ(Run(plan), absl::OkStatus());
  EXPECT_EQ(Lines("out/full.seed0.jsonl")[0]["profile"], "quick");
  plan["variants"][0]["profile"] = "none";
  EXPECT_THAT(std::string(Run(plan).message()),
              HasSubstr("\"none\" does not exist"));
}

TEST_F(HarnessTest, PlansAreReadStrictly) {
  const auto message = [&](const std::string& pointer, const json& value) {
    json plan = PlanJson();
    plan[json::json_pointer(pointer)] = value;
    const auto read = Read(plan);
    return std::string(read.status().message());
  };
  EXPECT_THAT(message("/format", 2), HasSubstr("this program reads 1"));
  EXPECT_THAT(message("/classes/0/kind", "object"),
              HasSubstr("allowed are thing and stuff"));
  EXPECT_THAT(message("/classes/0/label", 255), HasSubstr("1 to 254"));
  EXPECT_THAT(message("/variants/0/suport", ""), HasSubstr("suport"));
  EXPECT_THAT(message("/variants/0/support", "mine"), HasSubstr("\"mine\""));
  EXPECT_THAT(message("/supports", {{"mine", {{json::array()}}}}),
              HasSubstr("has 1 classes; the plan has 2"));
  EXPECT_THAT(message("/pictures", json::array()), HasSubstr("pictures"));
  EXPECT_THAT(message("/num_seeds", 2), IsEmpty());
}

TEST_F(HarnessTest, OptionsLieOverTheBundlesAndSeedsAreAdded) {
  const PlanVariant variant = {
      "v",
      {{"generation", {{"num_steps", 7}}},
       {"segment",
        {{"prefilter", {{"enabled", false}}},
         {"windows", {{"short_side", 128}, {"sizes", {64}}}}}}},
      "",
      ""};
  const auto options = ResolveOptions(engine_.info(), variant, 2);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->generation.num_steps, 7);
  EXPECT_EQ(options->generation.num_pictures, 3);
  EXPECT_EQ(options->generation.seed, 44u);
  EXPECT_EQ(options->prototype.kmeans_seed, 2u);
  EXPECT_FALSE(options->segment.prefilter.enabled);
  EXPECT_EQ(options->segment.windows.short_side, 128);
  EXPECT_THAT(options->segment.windows.sizes, ElementsAre(64));
  const PlanVariant wrong = {"v", {{"segment", {{"prefliter", 1}}}}, "", ""};
  EXPECT_THAT(
      std::string(ResolveOptions(engine_.info(), wrong, 0).status().message()),
      HasSubstr("prefliter"));
}

TEST_F(HarnessTest, ExportsSupportPictures) {
  const auto plan = Read(PlanJson());
  ASSERT_TRUE(plan.ok()) << plan.status();
  Runner runner(*plan, engine_, *store_, "p", [](const std::string&) {});
  ASSERT_EQ(runner.ExportSupports(Path("supports")), absl::OkStatus());
  const cv::Mat map =
      cv::imread(Path("supports/seed0/red boat/002.attribution.tiff"),
                 cv::IMREAD_UNCHANGED);
  ASSERT_EQ(map.type(), CV_32FC1);
  EXPECT_EQ(map.cols, 2);
  const auto support =
      engine_.PaintSupportSet("red boat", engine_.info().generation, {},
                              [](const engine::BuildProgress&) {});
  ASSERT_TRUE(support.ok());
  EXPECT_EQ(map.at<float>(1, 1), support->pictures[2].attribution.data[3]);
  EXPECT_TRUE(fs::exists(Path("supports/seed0/green boat/000.png")));
}

}  // namespace
}  // namespace ovdiff::accuracy
