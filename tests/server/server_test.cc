// The server as a whole: start, health, metrics, drain.
#include "server/server.h"

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/health_client.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

class ServerTest : public ::testing::Test {
 protected:
  v1::SegmentRequest Request() {
    v1::SegmentRequest request;
    request.set_vocabulary("shop");
    *request.mutable_image() = SolidImage(4, 4, 0);
    return request;
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
};

TEST_F(ServerTest, InfoPublishesTheLimitsAndDefaults) {
  TestServer server(engine_, *store_);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server.info->GetServerInfo(&context, {}, &info).ok());
  EXPECT_FALSE(info.version().empty());
  EXPECT_EQ(info.device(), "cpu");
  EXPECT_EQ(info.bundle().name(), "fake");
  const Limits limits;
  EXPECT_EQ(info.limits().max_message_bytes(), limits.max_message_bytes);
  EXPECT_EQ(info.limits().max_image_side(), limits.max_image_side);
  EXPECT_EQ(info.limits().max_streams(), limits.max_streams);
  EXPECT_EQ(info.build_options().num_pictures(), 3);
  EXPECT_EQ(info.segment_options().short_side(), 64);
  EXPECT_EQ(info.segment_options().window_sizes(0), 32);
  EXPECT_EQ(info.fingerprints().encoder().size(), 64u);
}

TEST_F(ServerTest, InfoListsTheProfiles) {
  TestServer server(engine_, *store_);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server.info->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.default_profile(), "default");
  ASSERT_EQ(info.profiles_size(), 3);
  EXPECT_EQ(info.profiles(1).name(), "heavy");
  EXPECT_EQ(info.profiles(1).unavailable(), "the fake has no heavy weights");
  EXPECT_FALSE(info.profiles(1).has_build_options());
  EXPECT_EQ(info.profiles(2).build_options().num_steps(), 2);
  EXPECT_TRUE(info.profiles(2).segment_options().use_pamr());
}

TEST_F(ServerTest, SegmentRefusesAProfileThatThereIsNot) {
  TestServer server(engine_, *store_);
  v1::SegmentRequest request = Request();
  request.set_profile("quack");
  grpc::ClientContext context;
  v1::SegmentResponse response;
  const grpc::Status status =
      server.segmentation->Segment(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("there are default, quick"),
            std::string::npos)
      << status.error_message();
}

TEST_F(ServerTest, HealthIsPerServiceAndUnknownOnesAreNotServing) {
  TestServer server(engine_, *store_);
  for (const char* service :
       {"", "ovdiff.v1.SegmentationService", "ovdiff.v1.VocabularyService",
        "ovdiff.v1.StoreService", "ovdiff.v1.InfoService"}) {
    EXPECT_TRUE(IsServing(server.channel, service)) << service;
  }
  EXPECT_FALSE(IsServing(server.channel, "ovdiff.v1.Other"));
}

TEST_F(ServerTest, AdminPortTellsLiveReadyAndMetrics) {
  TestServer server(engine_, *store_);
  server.Add("shop", {"red boat"});
  v1::SegmentResponse response;
  ASSERT_TRUE(server.Segment(Request(), &response).ok());
  v1::SegmentRequest bad = Request();
  bad.set_vocabulary("nowhere");
  EXPECT_FALSE(server.Segment(bad, &response).ok());

  int code = 0;
  EXPECT_EQ(server.Get("/livez", &code), "alive\n");
  EXPECT_EQ(code, 200);
  EXPECT_EQ(server.Get("/readyz", &code), "ready\n");
  EXPECT_EQ(code, 200);
  server.Get("/nothing", &code);
  EXPECT_EQ(code, 404);
  const std::string metrics = server.Get("/metrics", &code);
  EXPECT_EQ(code, 200);
  // Labels come out in alphabetical order of their names.
  for (const char* line :
       {"grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Segment\","
        "grpc_service=\"ovdiff.v1.SegmentationService\",grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"NOT_FOUND\"",
        "grpc_server_started_total{grpc_method=\"AddClasses\"",
        "grpc_server_handling_seconds_bucket{", "grpc_server_msg_sent_total{",
        "ovdiff_queue_wait_seconds_count{lane=\"segment\"}",
        "ovdiff_batches_total 1", "ovdiff_batched_windows_total 2",
        "ovdiff_batch_size_mean 2", "ovdiff_jobs{state=\"running\"} 0",
        "ovdiff_jobs_ended_total{state=\"JOB_STATE_SUCCEEDED\"} 1",
        "ovdiff_store_op_seconds_bucket{", "ovdiff_store_healthy 1",
        "ovdiff_store_prototype_sets 1", "ovdiff_build_info{",
        "ovdiff_prototype_misses_total{tier=\"store\"} 1",
        "process_resident_memory_bytes "}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  // No caller's word is a label.
  EXPECT_THAT(metrics, ::testing::Not(HasSubstr("red boat")));
  EXPECT_THAT(metrics, ::testing::Not(HasSubstr("nowhere")));
}

TEST_F(ServerTest, DrainFlipsHealthFirstAndFinishesWhatRuns) {
  TestServer server(engine_, *store_);
  server.Add("shop", {"red boat"});
  engine_.segment_gate.Close();
  std::thread caller([&] {
    v1::SegmentResponse response;
    EXPECT_TRUE(server.Segment(Request(), &response).ok());
  });
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(1));
  server.server->StartDrain();
  EXPECT_FALSE(IsServing(server.channel, ""));
  EXPECT_FALSE(IsServing(server.channel, "ovdiff.v1.SegmentationService"));
  int code = 0;
  EXPECT_THAT(server.Get("/readyz", &code), HasSubstr("draining"));
  EXPECT_EQ(code, 503);
  server.Get("/livez", &code);
  EXPECT_EQ(code, 200);
  // Still served until Stop().
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  EXPECT_TRUE(server.info->GetServerInfo(&context, {}, &info).ok());

  std::thread stopper([&] { server.server->Stop(); });
  absl::SleepFor(absl::Milliseconds(100));
  engine_.segment_gate.Open();
  caller.join();
  stopper.join();
  grpc::ClientContext late;
  EXPECT_EQ(server.info->GetServerInfo(&late, {}, &info).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, StopCancelsWhatOutlivesTheTimeout) {
  ServerOptions options = TestOptions();
  options.drain_timeout = absl::Seconds(1);
  TestServer server(engine_, *store_, options);
  server.Add("shop", {"red boat"});
  engine_.segment_gate.Close();
  std::thread caller([&] {
    v1::SegmentResponse response;
    EXPECT_FALSE(server.Segment(Request(), &response).ok());
  });
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(1));
  const absl::Time start = absl::Now();
  server.server->Stop();
  EXPECT_LT(absl::Now() - start, absl::Seconds(4));
  caller.join();
}

TEST_F(ServerTest, APortInUseIsAnErrorThatNamesIt) {
  TestServer first(engine_, *store_);
  ServerOptions options = TestOptions();
  options.listen_address = first.server->address();
  Metrics metrics;
  Readiness readiness;
  auto admin = AdminServer::Create("127.0.0.1:0", metrics, readiness);
  ASSERT_TRUE(admin.ok());
  const auto second =
      Server::Create(options, {engine_, *store_, metrics, readiness, **admin});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(options.listen_address));
  EXPECT_FALSE(readiness.Get().is_ready);
  EXPECT_EQ(AdminServer::Create(first.admin->address(), metrics, readiness)
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, OptionsOutOfRangeAreNamed) {
  ServerOptions options;
  EXPECT_TRUE(Validate(options).ok());
  options.segment_threads = 0;
  EXPECT_THAT(std::string(Validate(options).message()),
              HasSubstr("segment_threads is 0; 1 to"));
}

}  // namespace
}  // namespace ovdiff::server
