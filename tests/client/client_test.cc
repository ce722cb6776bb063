#include "client/client.h"

#include <thread>

#include "client/status.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string PngOf(int width, int height) {
  std::vector<uint8_t> bytes;
  cv::imencode(".png", cv::Mat(height, width, CV_8UC3, cv::Scalar(40, 90, 200)),
               bytes);
  return {bytes.begin(), bytes.end()};
}

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { client_ = *Client::Create({.server = server_.address()}); }

  v1::AddClassesRequest Add(std::vector<std::string> names) {
    v1::AddClassesRequest request;
    request.set_vocabulary("shop");
    for (const std::string& name : names) request.add_classes()->set_name(name);
    return request;
  }
  v1::SegmentRequest Photo() {
    v1::SegmentRequest request;
    request.set_vocabulary("shop");
    request.mutable_image()->set_encoded(PngOf(8, 4));
    return request;
  }

  FakeServer server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, FollowsAJobAndMergesItsChanges) {
  std::vector<size_t> whole_sizes;
  std::vector<size_t> change_sizes;
  auto job = client_->AddClasses(
      Add({"cat", "dog"}), [&](const v1::Job& whole, const v1::Job& change) {
        whole_sizes.push_back(whole.classes_size());
        change_sizes.push_back(change.classes_size());
      });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
  ASSERT_EQ(job->classes_size(), 2);
  EXPECT_EQ(job->classes(1).name(), "dog");
  EXPECT_EQ(job->classes(1).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_THAT(change_sizes, ElementsAre(2, 1, 1, 1, 1, 2));
  EXPECT_THAT(whole_sizes, ElementsAre(2, 2, 2, 2, 2, 2));
}

TEST_F(ClientTest, AttachesAgainWhenTheStreamBreaks) {
  server_.break_add_streams = 2;
  auto job = client_->AddClasses(Add({"cat"}));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(server_.add_requests.size(), 3u);
}

TEST_F(ClientTest, OneBadClassIsInTheJobNotInTheStatus) {
  auto job = client_->AddClasses(Add({"cat", "bad"}));
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job->classes(1).error().message(),
            "no picture of it has a foreground");
}

TEST_F(ClientTest, FoldsDetailsIntoTheMessage) {
  auto job = client_->AddClasses(Add({"cat", ""}));
  EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(job.status().message()),
      HasSubstr("\n  classes[1].name: is empty; give 1 to 200 characters"));
}

TEST_F(ClientTest, RetriesWhatIsSafeToRetry) {
  ASSERT_TRUE(client_->AddClasses(Add({"cat"})).ok());
  server_.refuse_segments = 2;
  auto answer = client_->Segment(Photo());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(server_.segment_calls, 3);
  EXPECT_EQ(answer->label_map().width(), 8);
}

TEST_F(ClientTest, GivesUpRetryingAndSaysWhenToTryAgain) {
  server_.refuse_segments = 100;
  auto answer = client_->Segment(Photo());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_.segment_calls, 4);
  EXPECT_EQ(RetryDelay(answer.status()), absl::Seconds(2));
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("try again in 2 s"));
}

TEST_F(ClientTest, StopCancelsAWatchAndLeavesTheCaller) {
  server_.hold_job = true;
  std::stop_source stop;
  std::jthread stopper([&] {
    server_.held.WaitForNotification();
    stop.request_stop();
  });
  auto job = client_->AddClasses(Add({"cat"}), nullptr,
                                 {.timeout = {}, .stop = stop.get_token()});
  EXPECT_EQ(job.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, TimeoutEndsAWatch) {
  server_.hold_job = true;
  auto job = client_->AddClasses(
      Add({"cat"}), nullptr, {.timeout = absl::Milliseconds(100), .stop = {}});
  EXPECT_EQ(job.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, JoinsPages) {
  ASSERT_TRUE(client_->AddClasses(Add({"a", "b", "c", "d", "e"})).ok());
  auto list = client_->ListClasses("shop");
  ASSERT_TRUE(list.ok());
  std::vector<std::string> names;
  for (const v1::Class& entry : list->classes) names.push_back(entry.name());
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_EQ(list->version, 5);
}

TEST_F(ClientTest, StreamsMoreFramesThanItsCredit) {
  ASSERT_TRUE(client_->AddClasses(Add({"cat"})).ok());
  v1::StreamConfig config;
  config.set_vocabulary("shop");
  auto session = client_->StreamSegment(config);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->configured().max_in_flight(), 2);
  std::jthread sender([&] {
    for (int seq = 0; seq < 20; ++seq) {
      v1::Frame frame;
      frame.set_seq(seq);
      frame.mutable_image()->set_encoded(seq == 7 ? "no picture" : PngOf(8, 4));
      ASSERT_TRUE((*session)->Send(frame).ok());
    }
    ASSERT_TRUE((*session)->DoneSending().ok());
  });
  std::vector<int64_t> failed;
  int count = 0;
  while (true) {
    auto response = (*session)->Receive();
    ASSERT_TRUE(response.ok()) << response.status();
    if (!response->has_value()) break;
    ++count;
    if ((*response)->result().has_error())
      failed.push_back((*response)->result().seq());
  }
  EXPECT_EQ(count, 20);
  EXPECT_THAT(failed, ElementsAre(7));
}

TEST_F(ClientTest, StreamOfAnUnknownVocabularyFailsAtOnce) {
  v1::StreamConfig config;
  config.set_vocabulary("nowhere");
  EXPECT_EQ(client_->StreamSegment(config).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ClientTest, AbandonedSessionEnds) {
  ASSERT_TRUE(client_->AddClasses(Add({"cat"})).ok());
  v1::StreamConfig config;
  config.set_vocabulary("shop");
  auto session = client_->StreamSegment(config);
  ASSERT_TRUE(session.ok());
  (*session)->Cancel();
  EXPECT_EQ((*session)->Send(v1::Frame()).code(),
            absl::StatusCode::kUnavailable);
  session->reset();
}

TEST_F(ClientTest, ChecksHealth) {
  auto health = client_->CheckHealth();
  ASSERT_TRUE(health.ok()) << health.status();
  EXPECT_EQ(*health, Health::kServing);
  EXPECT_EQ(client_->CheckHealth("no.such.Service").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(ClientConnectTest, NamesTheServerThatDoesNotAnswer) {
  auto client = *Client::Create({.server = "127.0.0.1:1"});
  const absl::Status status = client->Connect(absl::Milliseconds(200));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
  EXPECT_FALSE(Client::Create({.server = ""}).ok());
}

TEST(StatusTest, SaysADetailOnce) {
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("image");
  bad.mutable_field_violations(0)->set_description("is empty");
  google::rpc::Status rpc;
  rpc.set_code(3);
  rpc.set_message("image: is empty");
  rpc.add_details()->PackFrom(bad);
  const absl::Status status = FromRpcStatus(rpc);
  EXPECT_EQ(status.message(), "image: is empty");
  EXPECT_TRUE(status.GetPayload("type.googleapis.com/google.rpc.BadRequest")
                  .has_value());
  EXPECT_EQ(RetryDelay(status), std::nullopt);
  EXPECT_THAT(Readable(status), Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace ovdiff::client
