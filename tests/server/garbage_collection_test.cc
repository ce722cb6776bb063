// Garbage collection through a whole server, with the keeper that its store
// has.
#include "gtest/gtest.h"
#include "ovdiff/v1/store_service.grpc.pb.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

TEST(StoreServiceOfAServer, KeepsTheSetsOfUnfinishedJobsAndDropsTheRest) {
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  TestServer server(engine, *store);
  const auto stub = v1::StoreService::NewStub(server.channel);
  const auto collect = [&stub](bool dry_run) {
    grpc::ClientContext context;
    v1::CollectGarbageRequest request;
    request.set_dry_run(dry_run);
    request.set_keep_versions(1);
    request.set_min_age_seconds(0);
    v1::CollectGarbageResponse response;
    const grpc::Status status =
        stub->CollectGarbage(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  server.Add("shop", {"red boat", "blue car"});
  {
    grpc::ClientContext context;
    v1::RemoveClassesRequest request;
    request.set_vocabulary("shop");
    request.add_names("red boat");
    v1::RemoveClassesResponse response;
    ASSERT_TRUE(
        server.vocabulary->RemoveClasses(&context, request, &response).ok());
  }
  // A job that has painted nothing yet needs the pictures of the boat.
  engine.paint_gate.Close();
  grpc::ClientContext job_context;
  v1::AddClassesRequest add = AddRequest("yard", {"green bus", "red boat"});
  add.mutable_options()->set_num_parts(5);
  const auto job = server.vocabulary->AddClasses(&job_context, add);
  v1::AddClassesResponse progress;
  ASSERT_TRUE(job->Read(&progress));
  ASSERT_TRUE(engine.paint_gate.AwaitWaiting(1));
  const v1::CollectGarbageResponse planned = collect(/*dry_run=*/true);
  EXPECT_EQ(planned.num_prototype_sets(), 1);
  EXPECT_EQ(planned.num_support_sets(), 0);
  EXPECT_GE(planned.num_versions(), 1);
  const v1::CollectGarbageResponse done = collect(/*dry_run=*/false);
  EXPECT_EQ(done.bytes(), planned.bytes());
  EXPECT_EQ(collect(/*dry_run=*/true).bytes(), 0);

  engine.paint_gate.Open();
  while (job->Read(&progress)) {
  }
  EXPECT_TRUE(job->Finish().ok());
  EXPECT_EQ(progress.job().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(progress.job().classes(1).cache_hit(), v1::CACHE_HIT_PICTURES);

  // A version that has gone is told so, and the newest still answers.
  v1::SegmentRequest segment;
  segment.set_vocabulary("shop");
  *segment.mutable_image() = SolidImage(8, 8, 0x0000ff);
  v1::SegmentResponse answer;
  EXPECT_TRUE(server.Segment(segment, &answer).ok());
  segment.set_version(2);
  EXPECT_EQ(server.Segment(segment, &answer).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace ovdiff::server
