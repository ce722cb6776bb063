// The confusion forecast of AddClasses: which classes a new one can be taken
// for.
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/pack/vocabulary_diff.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Names(const v1::ClassProgress& progress) {
  std::vector<std::string> names;
  for (const v1::SimilarClass& similar : progress.similar()) {
    names.push_back(similar.name());
  }
  return names;
}

class ForecastTest : public ::testing::Test {
 protected:
  v1::Job Add(const std::vector<std::string>& names,
              std::optional<double> threshold = std::nullopt) {
    v1::AddClassesRequest request = AddRequest("shop", names);
    if (threshold.has_value()) {
      request.set_similar_threshold(*threshold);
    }
    std::vector<v1::AddClassesResponse> messages;
    const grpc::Status status = server_.Add(request, &messages);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return messages.back().job();
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(ForecastTest, NamesWhatANewClassCanBeTakenFor) {
  EXPECT_THAT(Names(Add({"red boat", "blue car"}).classes(0)), IsEmpty());
  const v1::Job job = Add({"red bus", "green bus"});
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Names(job.classes(0)), ElementsAre("red boat"));
  EXPECT_NEAR(job.classes(0).similar(0).cosine(), 1.0, 1e-6);
  EXPECT_THAT(Names(job.classes(1)), IsEmpty());
  // Also of the same job, those before it.
  EXPECT_THAT(Names(Add({"yellow cup", "yellow mug"}).classes(1)),
              ElementsAre("yellow cup"));
}

TEST_F(ForecastTest, TheMostSimilarComeFirstAndAtMostFive) {
  Add({"red a", "red b", "red c", "red d", "red e", "red f", "yellow g"});
  const v1::Job job = Add({"red h"}, -1.0);
  EXPECT_THAT(Names(job.classes(0)),
              ElementsAre("red a", "red b", "red c", "red d", "red e"));
  const v1::Job other = Add({"yellow h"}, -1.0);
  ASSERT_EQ(other.classes(0).similar_size(), 5);
  EXPECT_EQ(other.classes(0).similar(0).name(), "yellow g");
  for (int i = 0; i + 1 < 5; ++i) {
    EXPECT_GE(other.classes(0).similar(i).cosine(),
              other.classes(0).similar(i + 1).cosine());
  }
}

TEST_F(ForecastTest, TheThresholdIsTheRequests) {
  Add({"red boat"});
  // cos of (E0, 20, 20) and (E0, E0, 20), with the fake's lowest bits.
  const v1::Job all = Add({"yellow bus"}, 0.0);
  ASSERT_EQ(all.classes(0).similar_size(), 1);
  const double cosine = all.classes(0).similar(0).cosine();
  EXPECT_GT(cosine, 0.5);
  EXPECT_LT(cosine, 0.95);
  EXPECT_EQ(Add({"yellow cup"}, cosine - 1e-9).classes(0).similar_size(), 2);
  EXPECT_THAT(Names(Add({"yellow mug"}, cosine + 1e-6).classes(0)),
              ElementsAre("yellow bus", "yellow cup"));
  for (const double bad : {-1.1, 1.1, std::nan("")}) {
    v1::AddClassesRequest request = AddRequest("shop", {"red hat"});
    request.set_similar_threshold(bad);
    std::vector<v1::AddClassesResponse> messages;
    EXPECT_EQ(Reason(server_.Add(request, &messages)), "INVALID_FIELD");
  }
}

// A class that costs nothing is compared all the same.
TEST_F(ForecastTest, StoredClassesAreComparedToo) {
  Add({"red boat", "red bus"});
  const v1::Job again = Add({"red bus", "red boat"});
  EXPECT_EQ(again.classes(0).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_THAT(Names(again.classes(0)), ElementsAre("red boat"));
  EXPECT_THAT(Names(again.classes(1)), ElementsAre("red bus"));
}

TEST_F(ForecastTest, LinkedJobsDoNotWaitForThoseThatBuild) {
  Add({"red boat", "red bus"});
  engine_.paint_gate.Close();
  v1::AddClassesRequest slow = AddRequest("shop", {"blue car"});
  slow.set_request_id("slow");
  grpc::ClientContext context;
  auto reader = server_.vocabulary->AddClasses(&context, slow);
  v1::AddClassesResponse first;
  ASSERT_TRUE(reader->Read(&first));
  ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
  const v1::Job linked = Add({"red boat"});
  EXPECT_EQ(linked.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Names(linked.classes(0)), ElementsAre("red bus"));
  context.TryCancel();
  engine_.paint_gate.Open();
  server_.AwaitJob("slow");
}

TEST_F(ForecastTest, ItStaysInTheJobsRecord) {
  Add({"red boat"});
  v1::AddClassesRequest request = AddRequest("shop", {"red bus"});
  request.set_request_id("kept");
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  messages.clear();
  ASSERT_TRUE(server_.Add(request, &messages).ok());  // Attaches.
  EXPECT_THAT(Names(messages.back().job().classes(0)), ElementsAre("red boat"));
  TestServer after(engine_, *store_);
  EXPECT_THAT(Names(after.AwaitJob("kept").classes(0)),
              ElementsAre("red boat"));
  // Another threshold is another request.
  request.set_similar_threshold(0.5);
  const grpc::Status status = server_.Add(request, &messages);
  EXPECT_EQ(Reason(status), "REQUEST_ID_REUSED");
  EXPECT_THAT(status.error_message(),
              ::testing::HasSubstr("similar_threshold unset, not 0.5"));
}

}  // namespace
}  // namespace ovdiff::server
