// Jobs: idempotency, re-attaching, cancelling, resuming, single flight.
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

class JobsTest : public ::testing::Test {
 protected:
  v1::AddClassesRequest Named(const std::string& id,
                              const std::vector<std::string>& names) {
    v1::AddClassesRequest request = AddRequest("shop", names);
    request.set_request_id(id);
    return request;
  }
  // Starts a job, reads its first message and hangs up.
  std::string StartAndLeave(TestServer& server,
                            const v1::AddClassesRequest& request) {
    grpc::ClientContext context;
    auto reader = server.vocabulary->AddClasses(&context, request);
    v1::AddClassesResponse message;
    EXPECT_TRUE(reader->Read(&message));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    return message.job().id();
  }
  grpc::Status Cancel(TestServer& server, const std::string& id, v1::Job* job) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_job(id);
    v1::CancelJobResponse response;
    const grpc::Status status =
        server.vocabulary->CancelJob(&context, request, &response);
    *job = response.job();
    return status;
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
};

TEST_F(JobsTest, GoesOnWhenTheCallerGoesAway) {
  TestServer server(engine_, *store_);
  engine_.paint_gate.Close();
  const std::string id =
      StartAndLeave(server, Named("job-1", {"red boat", "blue car"}));
  EXPECT_EQ(id, "job-1");
  engine_.paint_gate.Open();
  EXPECT_EQ(server.AwaitJob("job-1").state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(engine_.num_painted, 2);
}

TEST_F(JobsTest, TheSameRequestAttachesToTheRunningJob) {
  TestServer server(engine_, *store_);
  engine_.paint_gate.Close();
  const std::string id =
      StartAndLeave(server, AddRequest("shop", {"red boat"}));
  EXPECT_EQ(StartAndLeave(server, AddRequest("shop", {"red boat"})), id);
  std::thread opener([this] {
    EXPECT_TRUE(engine_.paint_gate.AwaitWaiting(1));
    engine_.paint_gate.Open();
  });
  const v1::Job job = server.Add("shop", {"red boat"});
  opener.join();
  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(engine_.num_painted, 1);
}

TEST_F(JobsTest, ARequestIdNamesOneJobForEver) {
  TestServer server(engine_, *store_);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server.Add(Named("job-1", {"red boat"}), &messages).ok());
  const v1::Job first = messages.back().job();
  messages.clear();
  ASSERT_TRUE(server.Add(Named("job-1", {"red boat"}), &messages).ok());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_TRUE(messages[0].last());
  EXPECT_EQ(messages[0].job().create_time().nanos(),
            first.create_time().nanos());

  grpc::Status status = server.Add(Named("job-1", {"blue boat"}), &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Reason(status), "REQUEST_ID_REUSED");
  EXPECT_THAT(status.error_message(), HasSubstr("red boat"));
  v1::AddClassesRequest other = Named("job-1", {"red boat"});
  other.mutable_options()->set_num_pictures(2);
  status = server.Add(other, &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_THAT(status.error_message(), HasSubstr("num_pictures: 2"));
}

// Said or not, the same kind is the same request.
TEST_F(JobsTest, AKindThatTheServerWouldTakeAnywayIsTheSameJob) {
  TestServer server(engine_, *store_);
  std::vector<v1::AddClassesResponse> messages;
  v1::AddClassesRequest request = Named("job-1", {"red boat", "blue sky"});
  ASSERT_TRUE(server.Add(request, &messages).ok());
  request.mutable_classes(0)->set_kind(v1::CLASS_KIND_THING);
  request.mutable_classes(1)->set_kind(v1::CLASS_KIND_STUFF);
  EXPECT_TRUE(server.Add(request, &messages).ok());
  request.mutable_classes(0)->set_kind(v1::CLASS_KIND_UNSPECIFIED);
  request.mutable_classes(1)->set_kind(v1::CLASS_KIND_THING);
  const grpc::Status status = server.Add(request, &messages);
  EXPECT_EQ(Reason(status), "REQUEST_ID_REUSED");
  EXPECT_THAT(status.error_message(), HasSubstr("classes[1]"));
  EXPECT_THAT(status.error_message(), HasSubstr("another kind"));
}

TEST_F(JobsTest, FinishedContentIsANewJobThatLinks) {
  TestServer server(engine_, *store_);
  const v1::Job first = server.Add("shop", {"red boat"});
  const v1::Job second = server.Add("shop", {"red boat"});
  EXPECT_EQ(second.classes(0).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(second.version(), first.version());  // Nothing changed.
  EXPECT_EQ(engine_.num_painted, 1);
}

TEST_F(JobsTest, CancelStopsWithinAStepAndKeepsFinishedClasses) {
  TestServer server(engine_, *store_);
  const std::string id = "job-1";
  v1::AddClassesRequest request = Named(id, {"red boat", "blue car", "x"});
  grpc::ClientContext context;
  auto reader = server.vocabulary->AddClasses(&context, request);
  // Let the first class through, hold the second.
  v1::AddClassesResponse message;
  ASSERT_TRUE(reader->Read(&message));
  while (engine_.num_encoded < 1) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  engine_.paint_gate.Close();
  v1::Job job;
  ASSERT_TRUE(Cancel(server, id, &job).ok());
  while (reader->Read(&message)) {
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(message.last());
  EXPECT_EQ(message.job().classes(0).stage(), v1::CLASS_STAGE_DONE);
  if (message.job().state() == v1::JOB_STATE_CANCELLED) {
    EXPECT_EQ(message.job().classes(2).stage(), v1::CLASS_STAGE_CANCELLED);
  }
  // A second cancel changes nothing.
  ASSERT_TRUE(Cancel(server, id, &job).ok());
  EXPECT_EQ(job.state(), message.job().state());
}

TEST_F(JobsTest, CancelOfABlockedAndOfAWaitingJobIsPrompt) {
  TestServer server(engine_, *store_);
  engine_.paint_gate.Close();
  StartAndLeave(server, Named("running", {"red boat"}));
  ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
  StartAndLeave(server, Named("waiting", {"blue car"}));
  const absl::Time start = absl::Now();
  v1::Job job;
  ASSERT_TRUE(Cancel(server, "waiting", &job).ok());
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  ASSERT_TRUE(Cancel(server, "running", &job).ok());
  EXPECT_EQ(server.AwaitJob("running").state(), v1::JOB_STATE_CANCELLED);
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  EXPECT_EQ(engine_.num_encoded, 0);
}

TEST_F(JobsTest, UnknownJobsAreNotFound) {
  TestServer server(engine_, *store_);
  v1::Job job;
  const grpc::Status status = Cancel(server, "nobody", &job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "JOB_NOT_FOUND");
  EXPECT_EQ(Cancel(server, "", &job).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(JobsTest, AnUnfinishedJobResumesAfterARestart) {
  {
    TestServer server(engine_, *store_);
    engine_.paint_gate.Close();
    grpc::ClientContext context;
    auto reader = server.vocabulary->AddClasses(
        &context, Named("job-1", {"red boat", "blue car"}));
    v1::AddClassesResponse message;
    ASSERT_TRUE(reader->Read(&message));
    ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
    server.server->Stop();
    while (reader->Read(&message)) {
    }
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(Reason(status), "DRAINING");
    EXPECT_TRUE(
        FindDetail<google::rpc::RetryInfo>(Details(status)).has_value());
  }
  engine_.paint_gate.Open();
  TestServer server(engine_, *store_);
  const v1::Job job = server.AwaitJob("job-1");
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.classes_size(), 2);
  // The same request finds the same job.
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(
      server.Add(Named("job-1", {"red boat", "blue car"}), &messages).ok());
  EXPECT_EQ(messages.size(), 1u);
}

TEST_F(JobsTest, AFinishedJobIsStillKnownAfterARestart) {
  { TestServer(engine_, *store_).Add("shop", {"red boat"}); }
  std::string id;
  {
    TestServer server(engine_, *store_);
    std::vector<v1::AddClassesResponse> messages;
    ASSERT_TRUE(server.Add(Named("mine", {"unpaintable"}), &messages).ok());
  }
  TestServer server(engine_, *store_);
  const v1::Job job = server.AwaitJob("mine");
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.classes(0).error().code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(engine_.num_painted, 2);
}

TEST_F(JobsTest, OldJobsAreForgotten) {
  ServerOptions options = TestOptions();
  options.limits.job_retention = absl::ZeroDuration();
  TestServer server(engine_, *store_, options);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server.Add(Named("old", {"red boat"}), &messages).ok());
  grpc::StatusCode code = grpc::StatusCode::OK;
  for (int i = 0; i < 500 && code == grpc::StatusCode::OK; ++i) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job("old");
    v1::GetJobResponse response;
    code = server.vocabulary->GetJob(&context, request, &response).error_code();
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(code, grpc::StatusCode::NOT_FOUND);
  int64_t damaged = 0;
  EXPECT_TRUE(store_->ListJobs(&damaged)->empty());
}

TEST_F(JobsTest, TwoJobsThatNeedOneClassBuildItOnce) {
  ServerOptions options = TestOptions();
  options.build_threads = 2;
  TestServer server(engine_, *store_, options);
  engine_.paint_gate.Close();
  StartAndLeave(server, Named("one", {"red boat"}));
  v1::AddClassesRequest other = AddRequest("yard", {"red boat"});
  other.set_request_id("two");
  StartAndLeave(server, other);
  ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
  absl::SleepFor(absl::Milliseconds(100));
  engine_.paint_gate.Open();
  EXPECT_EQ(server.AwaitJob("one").state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(server.AwaitJob("two").state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(engine_.num_painted, 1);
  EXPECT_EQ(engine_.num_encoded, 1);
}

TEST_F(JobsTest, ACachedJobDoesNotWaitForABuildingOne) {
  TestServer server(engine_, *store_);
  server.Add("shop", {"red boat"});
  engine_.paint_gate.Close();
  StartAndLeave(server, Named("slow", {"blue car"}));
  ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
  EXPECT_EQ(server.Add("yard", {"red boat"}).state(), v1::JOB_STATE_SUCCEEDED);
  engine_.paint_gate.Open();
}

TEST_F(JobsTest, AFullQueueRefusesAtOnce) {
  ServerOptions options = TestOptions();
  options.limits.max_queued_jobs = 2;
  TestServer server(engine_, *store_, options);
  engine_.paint_gate.Close();
  StartAndLeave(server, Named("one", {"a"}));
  StartAndLeave(server, Named("two", {"b"}));
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status = server.Add(Named("three", {"c"}), &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "QUEUE_FULL");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(Details(status)).has_value());
  engine_.paint_gate.Open();
}

TEST_F(JobsTest, AVocabularyHasALargestSize) {
  ServerOptions options = TestOptions();
  options.limits.max_classes_per_vocabulary = 2;
  TestServer server(engine_, *store_, options);
  server.Add("shop", {"a", "b"});
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status = server.Add(AddRequest("shop", {"c"}), &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "VOCABULARY_FULL");
}

}  // namespace
}  // namespace ovdiff::server
