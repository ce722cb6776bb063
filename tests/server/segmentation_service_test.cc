#include "server/segmentation_service.h"

#include <atomic>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/server/health_client.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

v1::SegmentRequest Request(const std::string& vocabulary, v1::Image image) {
  v1::SegmentRequest request;
  request.set_vocabulary(vocabulary);
  *request.mutable_image() = std::move(image);
  request.set_label_map_format(v1::LABEL_MAP_FORMAT_RAW_U16);
  return request;
}

int LabelAt(const v1::LabelMap& map, int x, int y) {
  const size_t at = 2 * (static_cast<size_t>(y) * map.width() + x);
  return static_cast<uint8_t>(map.data()[at]) +
         256 * static_cast<uint8_t>(map.data()[at + 1]);
}

class SegmentationServiceTest : public ::testing::Test {
 protected:
  grpc::Status Segment(const v1::SegmentRequest& request) {
    v1::SegmentResponse response;
    return server_.Segment(request, &response);
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(SegmentationServiceTest, LabelsPixelsAndFillsTheTable) {
  const v1::Job job =
      server_.Add("shop", {"red boat", "blue car", "green bus"});
  v1::SegmentResponse response;
  const grpc::Status status = server_.Segment(
      Request("shop", SolidImage(30, 20, 0x2020E0, 0xE02020)), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.label_map().format(), v1::LABEL_MAP_FORMAT_RAW_U16);
  EXPECT_EQ(response.label_map().width(), 30);
  EXPECT_EQ(response.label_map().height(), 20);
  EXPECT_EQ(LabelAt(response.label_map(), 0, 0), job.classes(0).label());
  EXPECT_EQ(LabelAt(response.label_map(), 29, 19), job.classes(1).label());
  ASSERT_EQ(response.classes_size(), 3);
  EXPECT_EQ(response.classes(2).name(), "green bus");
  EXPECT_EQ(response.classes(2).pixel_count(), 0);
  EXPECT_EQ(response.classes(0).pixel_count(), 300);
  EXPECT_DOUBLE_EQ(response.classes(0).area(), 0.5);
  EXPECT_EQ(response.vocabulary(), "shop");
  EXPECT_EQ(response.version(), job.version());
  EXPECT_EQ(response.fingerprints().encoder(), job.fingerprints().encoder());
  EXPECT_EQ(response.fingerprints().generator(),
            job.fingerprints().generator());
  EXPECT_GT(response.timing().total_seconds(), 0);
  EXPECT_EQ(response.num_windows(), 2);
}

TEST_F(SegmentationServiceTest, WritesIndexedPngByDefault) {
  server_.Add("shop", {"red boat"});
  v1::SegmentRequest request =
      Request("shop", SolidImage(5, 4, 0xE02020, 0x000000));
  request.clear_label_map_format();
  v1::SegmentResponse response;
  ASSERT_TRUE(server_.Segment(request, &response).ok());
  EXPECT_EQ(response.label_map().format(), v1::LABEL_MAP_FORMAT_PNG);
  const std::string& png = response.label_map().data();
  // IHDR: bit depth 8, colour type 3 (palette).
  EXPECT_EQ(png[24], 8);
  EXPECT_EQ(png[25], 3);
  const cv::Mat colours = cv::imdecode(
      std::vector<uint8_t>(png.begin(), png.end()), cv::IMREAD_COLOR);
  ASSERT_EQ(colours.cols, 5);
  const auto pixel = colours.at<cv::Vec3b>(0, 4);
  EXPECT_EQ((pixel[2] << 16) | (pixel[1] << 8) | pixel[0],
            response.classes(0).colour());
  EXPECT_EQ(colours.at<cv::Vec3b>(0, 0), cv::Vec3b(0, 0, 0));
}

TEST_F(SegmentationServiceTest, PinnedVersionsAndSubsetsAreRespected) {
  const int64_t old_version = server_.Add("shop", {"red boat"}).version();
  server_.Add("shop", {"blue car"});
  v1::SegmentRequest request = Request("shop", SolidImage(4, 4, 0x2020E0));
  v1::SegmentResponse response;
  request.set_version(old_version);
  ASSERT_TRUE(server_.Segment(request, &response).ok());
  EXPECT_EQ(response.classes_size(), 1);
  EXPECT_EQ(LabelAt(response.label_map(), 0, 0), 0);
  request.set_version(0);
  request.add_classes("blue car");
  ASSERT_TRUE(server_.Segment(request, &response).ok());
  ASSERT_EQ(response.classes_size(), 1);
  EXPECT_EQ(response.classes(0).pixel_count(), 16);
}

TEST_F(SegmentationServiceTest, NamesWhatIsNotThere) {
  grpc::Status status = Segment(Request("shop", SolidImage(4, 4, 0)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "VOCABULARY_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("shop"));

  server_.Add("shop", {"red boat", "blue car"});
  v1::SegmentRequest request = Request("shop", SolidImage(4, 4, 0));
  request.add_classes("red boot");
  status = Segment(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "CLASS_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("did you mean \"red boat\""));
  request.set_classes(0, "red boat");
  request.add_classes("red boat");
  EXPECT_EQ(Reason(Segment(request)), "DUPLICATE_CLASS");
  request.clear_classes();
  request.set_version(7);
  status = Segment(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_version(-1);
  EXPECT_EQ(Segment(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_version(0);
  request.mutable_options()->add_spaces("nose");
  status = Segment(request);
  EXPECT_EQ(Reason(status), "INVALID_OPTION");
  EXPECT_THAT(status.error_message(), HasSubstr("nose"));
}

TEST_F(SegmentationServiceTest, AnEmptyVocabularySaysSo) {
  server_.Add("shop", {"red boat"});
  grpc::ClientContext context;
  v1::RemoveClassesRequest remove;
  remove.set_vocabulary("shop");
  remove.add_names("red boat");
  v1::RemoveClassesResponse removed;
  ASSERT_TRUE(
      server_.vocabulary->RemoveClasses(&context, remove, &removed).ok());
  const grpc::Status status = Segment(Request("shop", SolidImage(4, 4, 0)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "VOCABULARY_EMPTY");
}

TEST_F(SegmentationServiceTest, RefusesBadPictures) {
  server_.Add("shop", {"red boat"});
  const auto expect_refused = [&](const v1::Image& image,
                                  const std::string& words) {
    const grpc::Status status = Segment(Request("shop", image));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr(words));
    const google::rpc::Status details = Details(status);
    EXPECT_TRUE(FindDetail<google::rpc::BadRequest>(details).has_value());
    EXPECT_TRUE(FindDetail<google::rpc::ErrorInfo>(details).has_value());
  };
  expect_refused(v1::Image(), "image is missing");
  v1::Image image;
  image.set_encoded("");
  expect_refused(image, "0 bytes");
  image.set_encoded("hello, this is no picture");
  expect_refused(image, "not a picture");
  image = SolidImage(4, 4, 0);
  image.mutable_raw()->set_width(0);
  expect_refused(image, "0x4");
  image.mutable_raw()->set_width(5);
  expect_refused(image, "need 60");
  image.mutable_raw()->set_width(1 << 30);
  image.mutable_raw()->set_height(1 << 30);
  expect_refused(image, "1073741824x1073741824");
  EXPECT_TRUE(Segment(Request("shop", SolidImage(4, 4, 0))).ok());
}

TEST_F(SegmentationServiceTest, RefusesMessagesThatAreTooLarge) {
  server_.Add("shop", {"red boat"});
  v1::Image image;
  image.set_encoded(std::string(size_t{33} << 20, 'x'));
  const grpc::Status status = Segment(Request("shop", image));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Segment(Request("shop", SolidImage(4, 4, 0))).ok());
}

TEST_F(SegmentationServiceTest, StalePrototypesAskToBeRebuilt) {
  server_.Add("shop", {"red boat"});
  FakeEngine other("another-bundle");
  TestServer server(other, *store_);
  v1::SegmentResponse response;
  const grpc::Status status =
      server.Segment(Request("shop", SolidImage(4, 4, 0)), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "PROTOTYPE_STALE");
  EXPECT_THAT(status.error_message(), HasSubstr("red boat"));
  EXPECT_THAT(status.error_message(), HasSubstr("add it again"));
  const auto failure =
      FindDetail<google::rpc::PreconditionFailure>(Details(status));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->violations(0).subject(), "red boat");
  // And that is all it takes.
  server.Add("shop", {"red boat"});
  EXPECT_TRUE(
      server.Segment(Request("shop", SolidImage(4, 4, 0)), &response).ok());
}

TEST_F(SegmentationServiceTest, OtherOptionsOfTheSameBundleAreNotStale) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_parts(9);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  server_.Add("shop", {"blue car"});
  v1::SegmentResponse response;
  ASSERT_TRUE(
      server_.Segment(Request("shop", SolidImage(4, 4, 0)), &response).ok());
  // No single encoder fingerprint made this answer.
  EXPECT_EQ(response.fingerprints().encoder(), "");
  EXPECT_EQ(response.fingerprints().generator().size(), 64u);
}

TEST_F(SegmentationServiceTest, LoadsEachPrototypeSetOnce) {
  server_.Add("shop", {"red boat", "blue car"});
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      EXPECT_TRUE(Segment(Request("shop", SolidImage(4, 4, 0))).ok());
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(engine_.num_loaded, 2);
}

TEST_F(SegmentationServiceTest, HealthAnswersWhileEverythingIsBlocked) {
  server_.Add("shop", {"red boat"});
  engine_.segment_gate.Close();
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      EXPECT_TRUE(Segment(Request("shop", SolidImage(4, 4, 0))).ok());
    });
  }
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(4));
  const absl::Time start = absl::Now();
  EXPECT_TRUE(IsServing(server_.channel, ""));
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
  EXPECT_TRUE(IsServing(server_.channel, "ovdiff.v1.SegmentationService"));
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  EXPECT_TRUE(server_.info->GetServerInfo(&context, {}, &info).ok());
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  grpc::ClientContext list_context;
  EXPECT_TRUE(
      server_.vocabulary->ListClasses(&list_context, list, &listed).ok());
  engine_.segment_gate.Open();
  for (std::thread& caller : callers) {
    caller.join();
  }
}

TEST(SegmentLimitsTest, AFullQueueRefusesAtOnceWithRetryInfo) {
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  ServerOptions options = TestOptions();
  options.segment_threads = 1;
  options.limits.max_queued_segments = 2;
  TestServer server(engine, *store, options);
  server.Add("shop", {"red boat"});
  engine.segment_gate.Close();
  const v1::SegmentRequest request = Request("shop", SolidImage(4, 4, 0));
  // One runs, one waits; the third, whichever it is, is told while the other
  // two still wait for the gate.
  std::promise<grpc::Status> refused;
  std::atomic<int> num_answered{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      v1::SegmentResponse response;
      const grpc::Status status = server.Segment(request, &response);
      if (!status.ok()) {
        refused.set_value(status);
      }
      num_answered += status.ok();
    });
  }
  const grpc::Status status = refused.get_future().get();
  EXPECT_EQ(num_answered, 0);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "QUEUE_FULL");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(Details(status)).has_value());
  engine.segment_gate.Open();
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(num_answered, 2);
}

TEST(SegmentLimitsTest, DeadlinesAndCancellationReachTheEngineAndTheQueue) {
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  ServerOptions options = TestOptions();
  options.segment_threads = 1;
  TestServer server(engine, *store, options);
  server.Add("shop", {"red boat"});
  engine.segment_gate.Close();
  const v1::SegmentRequest request = Request("shop", SolidImage(4, 4, 0));
  const auto call = [&](absl::Duration deadline) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    v1::SegmentResponse response;
    return server.segmentation->Segment(&context, request, &response)
        .error_code();
  };
  std::thread running([&] {
    EXPECT_EQ(call(absl::Seconds(2)), grpc::StatusCode::DEADLINE_EXCEEDED);
  });
  ASSERT_TRUE(engine.segment_gate.AwaitWaiting(1));
  // Behind it in the queue.
  EXPECT_EQ(call(absl::Milliseconds(100)), grpc::StatusCode::DEADLINE_EXCEEDED);
  running.join();
  // Both are gone: the worker is free for the next. The engine notices a moment
  // after the client does.
  ASSERT_TRUE(engine.segment_gate.AwaitWaiting(0));
  engine.segment_gate.Open();
  EXPECT_EQ(call(absl::Seconds(10)), grpc::StatusCode::OK);
  EXPECT_EQ(engine.num_segmented, 1);
}

TEST(SegmentLimitsTest, ACallWithoutADeadlineHasTheServers) {
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  ServerOptions options = TestOptions();
  options.limits.max_segment_seconds = absl::Seconds(1);
  options.segment_threads = 1;
  TestServer server(engine, *store, options);
  server.Add("shop", {"red boat"});
  engine.segment_gate.Close();
  const v1::SegmentRequest request = Request("shop", SolidImage(4, 4, 0));
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {  // One runs, one waits; both end in time.
    callers.emplace_back([&] {
      v1::SegmentResponse response;
      const absl::Time start = absl::Now();
      const grpc::Status status = server.Segment(request, &response);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
      EXPECT_EQ(Reason(status), "DEADLINE_EXCEEDED");
      EXPECT_LT(absl::Now() - start, absl::Seconds(5));
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
}

}  // namespace
}  // namespace ovdiff::server
