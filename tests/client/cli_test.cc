#include "client/cli.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "client/image_io.h"
#include "client/json_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    folder_ = fs::path(::testing::TempDir()) /
              ("ovdiff_cli_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~CliTest() override { fs::remove_all(folder_); }

  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunCli(arguments, console_, interrupts_);
  }
  Json Output() { return Json::parse(out_.str()); }
  std::string Picture(const std::string& name, int width = 64,
                      int height = 48) {
    const std::string path = (folder_ / name).string();
    fs::create_directories(fs::path(path).parent_path());
    cv::imwrite(path, cv::Mat(height, width, CV_8UC3, cv::Scalar(40, 90, 200)));
    return path;
  }
  std::string Out() { return (folder_ / "out").string(); }

  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = out_, .err = err_};
  Interrupts interrupts_;
  fs::path folder_;
};

TEST_F(CliTest, AddsClassesAndSaysSoPlainlyOnAPipe) {
  EXPECT_EQ(Run({"add", "red sneaker", "sky", "--vocabulary", "shop", "--kind",
                 "stuff", "--pictures", "4", "--seed", "9", "--space", "mae"}),
            kExitOk);
  EXPECT_THAT(out_.str(),
              HasSubstr("job job-1: succeeded, vocabulary shop version 2"));
  EXPECT_THAT(out_.str(), HasSubstr("red sneaker (stuff): done, painted"));
  EXPECT_THAT(err_.str(), HasSubstr("red sneaker: painting 2/4  12 s left\n"));
  EXPECT_THAT(err_.str(), Not(HasSubstr("\x1b")));
  ASSERT_EQ(server_.add_requests.size(), 1u);
  EXPECT_EQ(server_.add_requests[0].classes(0).kind(), v1::CLASS_KIND_STUFF);
  EXPECT_EQ(server_.add_requests[0].options().num_pictures(), 4);
  EXPECT_EQ(server_.add_requests[0].options().seed(), 9u);
  EXPECT_EQ(server_.add_requests[0].options().spaces(0), "mae");
  EXPECT_FALSE(server_.add_requests[0].options().has_num_steps());
}

TEST_F(CliTest, LeavesTheKindToTheServerUnlessTold) {
  EXPECT_EQ(Run({"add", "sky", "--vocabulary", "shop"}), kExitOk);
  EXPECT_EQ(Run({"add", "sky", "--vocabulary", "shop", "--kind", "thing"}),
            kExitOk);
  ASSERT_EQ(server_.add_requests.size(), 2u);
  EXPECT_EQ(server_.add_requests[0].classes(0).kind(),
            v1::CLASS_KIND_UNSPECIFIED);
  EXPECT_EQ(server_.add_requests[1].classes(0).kind(), v1::CLASS_KIND_THING);
  EXPECT_EQ(Run({"add", "sky", "--vocabulary", "shop", "--kind", "gas"}),
            kExitUsage);
}

TEST_F(CliTest, DrawsBarsOnATerminal) {
  console_.live = true;
  console_.columns = 60;
  EXPECT_EQ(Run({"add", "red sneaker", "--vocabulary", "shop"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("[1A"));
  EXPECT_THAT(err_.str(), HasSubstr("+ red sneaker  done"));
  std::istringstream lines(err_.str());
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 60u + 12u) << line;
  }
}

TEST_F(CliTest, PartlyFailedJobHasItsOwnExitCode) {
  EXPECT_EQ(Run({"add", "cat", "bad", "--vocabulary", "shop"}),
            kExitPartlyFailed);
  EXPECT_THAT(out_.str(),
              HasSubstr("bad: failed: FAILED_PRECONDITION: no picture"));
  EXPECT_EQ(Run({"add", "bad", "--vocabulary", "shop", "--json"}), kExitFailed);
  EXPECT_EQ(Output()["state"], "failed");
  EXPECT_EQ(Output()["classes"][0]["error"]["code"], "FAILED_PRECONDITION");
}

TEST_F(CliTest, PromptsGoWithNamesInOrder) {
  EXPECT_EQ(Run({"add", "mouse", "bat", "--prompt", "computer mouse",
                 "--prompt", "baseball bat", "-v", "shop"}),
            kExitOk);
  EXPECT_EQ(server_.add_requests[0].classes(1).prompt(), "baseball bat");
  EXPECT_EQ(Run({"add", "mouse", "bat", "--prompt", "x", "-v", "shop"}),
            kExitUsage);
}

TEST_F(CliTest, WhatShowsAClassGoesWithIt) {
  Picture("mugs/b.jpg");
  Picture("mugs/a.png");
  Picture("mugs/a.mask.png");
  std::ofstream(folder_ / "mugs" / "notes.txt") << "no picture";
  const std::string bowl = Picture("bowl.jpg");
  EXPECT_EQ(Run({"add", "mug", "--synonym", "cup", "--synonym", "beaker",
                 "--given", (folder_ / "mugs").string(), "--not", "glass",
                 "--not-given", bowl, "-v", "shop"}),
            kExitOk)
      << err_.str();
  ASSERT_EQ(server_.add_requests.size(), 1u);
  const v1::ClassSpec& spec = server_.add_requests[0].classes(0);
  EXPECT_THAT(spec.synonyms(), testing::ElementsAre("cup", "beaker"));
  ASSERT_EQ(spec.pictures_size(), 2);
  const auto file = [&](const std::string& name) {
    return ReadFileBytes((folder_ / name).string(), 1 << 20).value();
  };
  EXPECT_EQ(spec.pictures(0).image().encoded(), file("mugs/a.png"));
  EXPECT_EQ(spec.pictures(0).mask(), file("mugs/a.mask.png"));
  EXPECT_EQ(spec.pictures(1).image().encoded(), file("mugs/b.jpg"));
  EXPECT_EQ(spec.pictures(1).mask(), "");
  ASSERT_EQ(spec.negatives_size(), 2);
  EXPECT_EQ(spec.negatives(0).prompt(), "glass");
  EXPECT_EQ(spec.negatives(1).picture().image().encoded(), file("bowl.jpg"));
  EXPECT_FALSE(spec.only_given_pictures());
}

TEST_F(CliTest, OfSeveralClassesEachIsNamed) {
  const std::string picture = Picture("a=b.png");
  EXPECT_EQ(Run({"add", "cup", "plate", "--synonym", "plate=dish", "--given",
                 "cup=" + picture, "--given", "plate=" + picture,
                 "--only-given", "-v", "shop"}),
            kExitOk)
      << err_.str();
  ASSERT_EQ(server_.add_requests.size(), 1u);
  const v1::AddClassesRequest& request = server_.add_requests[0];
  EXPECT_THAT(request.classes(1).synonyms(), testing::ElementsAre("dish"));
  EXPECT_EQ(request.classes(0).synonyms_size(), 0);
  EXPECT_EQ(request.classes(0).pictures_size(), 1);
  EXPECT_TRUE(request.classes(1).only_given_pictures());
  EXPECT_NE(Run({"add", "cup", "plate", "--synonym", "dish", "-v", "shop"}),
            kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("cup=…"));
  EXPECT_EQ(server_.add_requests.size(), 1u);
}

TEST_F(CliTest, PicturesThatCannotBeSentAreNamed) {
  const auto error = [&](const std::string& path) {
    EXPECT_NE(Run({"add", "cup", "--given", path, "-v", "shop"}), kExitOk);
    return err_.str();
  };
  EXPECT_THAT(error((folder_ / "none.png").string()), HasSubstr("none.png"));
  fs::create_directories(folder_ / "empty");
  EXPECT_THAT(error((folder_ / "empty").string()), HasSubstr("no picture"));
  const std::string mask = Picture("alone/x.mask.png");
  EXPECT_THAT(error((folder_ / "alone").string()),
              HasSubstr("mask of no picture"));
  EXPECT_THAT(error(mask), HasSubstr("is a mask"));
  EXPECT_TRUE(server_.add_requests.empty());
}

TEST_F(CliTest, DetachLeavesTheJob) {
  server_.hold_job = true;
  EXPECT_EQ(
      Run({"add", "cat", "-v", "shop", "--detach", "--request-id", "mine"}),
      kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("job mine goes on"));
  EXPECT_THAT(err_.str(), HasSubstr("ovdiff jobs cancel mine"));
}

TEST_F(CliTest, FirstInterruptTellsSecondLeaves) {
  server_.hold_job = true;
  std::jthread user([&] {
    server_.held.WaitForNotification();
    interrupts_.first.request_stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    interrupts_.second.request_stop();
  });
  EXPECT_EQ(Run({"add", "cat", "-v", "shop"}), kExitInterrupted);
  EXPECT_THAT(err_.str(),
              HasSubstr("The job goes on at the server. Ctrl-C again"));
  EXPECT_THAT(err_.str(), HasSubstr("ovdiff jobs cancel job-1"));
}

TEST_F(CliTest, SegmentWritesThreeFilesPerPhoto) {
  ASSERT_EQ(Run({"add", "cat", "-v", "shop"}), kExitOk);
  const std::string photo = Picture("photo.png");
  ASSERT_EQ(Run({"segment",
                 photo,
                 "-v",
                 "shop",
                 "-o",
                 Out(),
                 "--class",
                 "cat",
                 "--space",
                 "dino",
                 "--no-prefilter",
                 "--level",
                 "part",
                 "--no-stuff-filter",
                 "--stuff-filter-threshold",
                 "0.9",
                 "--stuff-filter-foreground",
                 "--pamr",
                 "--pamr-iterations",
                 "5"}),
            kExitOk)
      << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("photo.png: cat 50.0% (12 ms)"));
  const v1::SegmentRequest& request = server_.segment_requests[0];
  EXPECT_EQ(request.classes(0), "cat");
  EXPECT_EQ(request.options().spaces(0), "dino");
  EXPECT_FALSE(request.options().use_prefilter());
  EXPECT_TRUE(request.options().use_part_level());
  EXPECT_FALSE(request.options().use_class_level());
  EXPECT_FALSE(request.options().has_use_background());
  EXPECT_TRUE(request.options().has_use_stuff_filter());
  EXPECT_FALSE(request.options().use_stuff_filter());
  EXPECT_EQ(request.options().stuff_filter_threshold(), 0.9);
  EXPECT_TRUE(request.options().stuff_filter_foreground());
  EXPECT_TRUE(request.options().use_pamr());
  EXPECT_EQ(request.options().pamr_iterations(), 5);
  const cv::Mat overlay = cv::imread(Out() + "/photo.overlay.png");
  EXPECT_EQ(overlay.rows, 48 * 8);
  EXPECT_GT(overlay.cols, 64 * 8);
  auto labels =
      DecodeLabelPng(*ReadFileBytes(Out() + "/photo.labels.png", 1 << 20));
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(labels->at<uint16_t>(5, 5), 3);
  EXPECT_EQ(labels->at<uint16_t>(5, 60), 0);
  const Json json = Json::parse(*ReadFileBytes(Out() + "/photo.json", 1 << 20));
  EXPECT_EQ(json["vocabulary"], "shop");
  EXPECT_EQ(json["width"], 64);
  EXPECT_EQ(json["classes"][0]["name"], "cat");
  EXPECT_EQ(json["classes"][0]["pixel_count"], 32 * 48);
  EXPECT_EQ(json["classes"][0]["colour"].get<std::string>().size(), 7u);
  EXPECT_EQ(json["fingerprints"]["encoder"], "enc-fingerprint");
  EXPECT_EQ(json["files"]["labels"], Out() + "/photo.labels.png");
}

TEST_F(CliTest, SegmentJsonIsOneDocumentAndBadPhotosFailAlone) {
  ASSERT_EQ(Run({"add", "cat", "-v", "shop"}), kExitOk);
  const std::string a = Picture("a/photo.png");
  const std::string b = Picture("b/photo.png");
  std::ofstream(folder_ / "broken.png") << "not a picture";
  ASSERT_EQ(Run({"segment", a, (folder_ / "broken.png").string(), b,
                 (folder_ / "missing.jpg").string(), "-v", "shop", "-o", Out(),
                 "--json"}),
            kExitPartlyFailed);
  const Json photos = Output()["photos"];
  ASSERT_EQ(photos.size(), 4u);
  EXPECT_FALSE(photos[0].contains("error"));
  EXPECT_EQ(photos[1]["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(photos[2]["files"]["json"], Out() + "/photo-2.json");
  EXPECT_EQ(photos[3]["error"]["code"], "NOT_FOUND");
  EXPECT_TRUE(fs::exists(Out() + "/photo.overlay.png"));
  EXPECT_TRUE(fs::exists(Out() + "/photo-2.overlay.png"));
  EXPECT_THAT(err_.str(), HasSubstr("2 of 4 photos segmented"));
}

TEST_F(CliTest, RendersDetailsOfErrors) {
  const std::string photo = Picture("photo.png");
  EXPECT_EQ(Run({"segment", photo, "-v", "nowhere", "-o", Out()}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("NOT_FOUND: no vocabulary 'nowhere'"));
  EXPECT_THAT(err_.str(),
              HasSubstr("\n  vocabulary 'nowhere': ListVocabularies"));
  EXPECT_EQ(Run({"classes", "-v", "nowhere", "--json"}), kExitFailed);
  EXPECT_EQ(Output()["error"]["code"], "NOT_FOUND");
}

TEST_F(CliTest, OverloadIsARequestThatFailedNotAMissingServer) {
  server_.refuse_segments = 100;
  EXPECT_EQ(Run({"segment", Picture("photo.png"), "-v", "shop", "-o", Out(),
                 "--json"}),
            kExitFailed);
  EXPECT_EQ(Output()["photos"][0]["error"]["retry_after_seconds"], 2.0);
}

TEST_F(CliTest, RefusesFilesOverTheServersLimit) {
  std::ofstream(folder_ / "big.jpg") << std::string((1 << 20) + 1, 'x');
  EXPECT_EQ(Run({"segment", (folder_ / "big.jpg").string(), "-v", "shop", "-o",
                 Out()}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("at most 1048576 can be sent"));
  EXPECT_EQ(server_.segment_calls, 0);
}

TEST_F(CliTest, UnreachableServer) {
  EXPECT_EQ(RunCli({"health", "--server", "127.0.0.1:1", "--connect-timeout",
                    "0.2", "--json"},
                   console_, interrupts_),
            kExitUnreachable);
  EXPECT_EQ(Output()["error"]["code"], "UNAVAILABLE");
}

TEST_F(CliTest, WrongUsage) {
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_EQ(Run({"paint"}), kExitUsage);
  EXPECT_EQ(Run({"add", "cat"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--vocabulary"));
  EXPECT_EQ(Run({"add", "cat", "-v", "shop", "--kind", "animal"}), kExitUsage);
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("Exit codes:"));
  EXPECT_EQ(Run({"segment", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("NAME.labels.png"));
}

TEST_F(CliTest, ListsRemovesAndInforms) {
  ASSERT_EQ(Run({"add", "cat", "dog", "caf\u00e9\x1b[2J", "-v", "shop"}),
            kExitOk);
  EXPECT_EQ(Run({"classes", "-v", "shop"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("caf\u00e9\\x1b[2J"));
  EXPECT_EQ(Run({"classes", "-v", "shop", "--json"}), kExitOk);
  EXPECT_EQ(Output()["classes"].size(), 3u);
  EXPECT_EQ(Output()["classes"][1]["label"], 5);
  EXPECT_EQ(Output()["classes"][1]["kind"], "thing");
  EXPECT_EQ(Run({"vocabularies", "--json"}), kExitOk);
  EXPECT_EQ(Output()["vocabularies"][0]["num_classes"], 3);
  EXPECT_EQ(Run({"remove", "dog", "-v", "shop", "--json"}), kExitOk);
  EXPECT_EQ(Output()["version"], 7);
  EXPECT_EQ(server_.vocabularies["shop"].size(), 2u);
  EXPECT_EQ(Run({"info", "--json"}), kExitOk);
  EXPECT_EQ(Output()["limits"]["max_message_bytes"], 1 << 20);
  EXPECT_EQ(Run({"info"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("version: 9.8.7"));
  EXPECT_THAT(out_.str(),
              HasSubstr("profiles:\n"
                        "  fast: Little of all.\n"
                        "  paper: As written.\n"
                        "    not as it is: CutLER's weights are missing\n"));
  EXPECT_EQ(Run({"info", "--profile", "fast"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("  num_pictures: 8\n"));
  EXPECT_THAT(out_.str(),
              HasSubstr("  space_weights:\n    dino: 2.0\n    sd: 0.5\n"));
  EXPECT_EQ(Run({"info", "--profile", "fast", "--json"}), kExitOk);
  EXPECT_EQ(Output()["segment_options"]["space_weights"]["sd"], 0.5);
  EXPECT_EQ(Run({"info", "--profile", "slow"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("it has fast, paper"));
  EXPECT_EQ(Run({"health"}), kExitOk);
  EXPECT_EQ(out_.str(), "serving\n");
}

TEST_F(CliTest, LooksAtAndCancelsJobs) {
  EXPECT_EQ(Run({"jobs", "get", "job-1", "--json"}), kExitOk);
  EXPECT_EQ(Output()["state"], "succeeded");
  EXPECT_EQ(Run({"jobs", "get", "job-1", "--follow"}), kExitOk);
  EXPECT_EQ(Run({"jobs", "get", "job-2"}), kExitFailed);
  EXPECT_EQ(Run({"jobs", "cancel", "job-1"}), kExitOk);
  EXPECT_EQ(server_.cancelled_job, "job-1");
}

TEST_F(CliTest, StreamsAFolderInNaturalOrder) {
  ASSERT_EQ(Run({"add", "cat", "-v", "shop"}), kExitOk);
  for (int i = 1; i <= 11; ++i)
    Picture("frames/f" + std::to_string(i) + ".png", 16, 16);
  std::ofstream(folder_ / "frames/notes.txt") << "no frame";
  std::ofstream(folder_ / "frames/f12.png") << "broken";
  EXPECT_EQ(Run({"stream", (folder_ / "frames").string(), "-v", "shop",
                 "--json", "-o", Out()}),
            kExitPartlyFailed);
  std::istringstream lines(out_.str());
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    names.push_back(fs::path(json["photo"].get<std::string>()).filename());
    EXPECT_EQ(json.contains("error"), names.back() == "f12.png");
  }
  ASSERT_EQ(names.size(), 12u);
  EXPECT_EQ(names[1], "f2.png");
  EXPECT_EQ(names[9], "f10.png");
  EXPECT_TRUE(fs::exists(Out() + "/f10.overlay.png"));
  EXPECT_EQ(
      Run({"stream", (folder_ / "frames/f1*.png").string(), "-v", "shop"}),
      kExitPartlyFailed);
  EXPECT_THAT(err_.str(), HasSubstr("3 of 4 frames"));
  EXPECT_EQ(Run({"stream", (folder_ / "none*").string(), "-v", "shop"}),
            kExitFailed);
}

}  // namespace
}  // namespace ovdiff::client
