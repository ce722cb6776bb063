#include "server/vocabulary_service.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/palette.h"
#include "tests/server/vocabulary_service_fixture.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(VocabularyServiceTest, AddsClassesAndStreamsTheirProgress) {
  std::vector<v1::AddClassesResponse> messages;
  v1::AddClassesRequest request = AddRequest("shop", {"red boat", "sky"});
  request.mutable_classes(1)->set_kind(v1::CLASS_KIND_STUFF);
  request.mutable_classes(1)->set_prompt("  Blue   SKY ");
  ASSERT_TRUE(server_.Add(request, &messages).ok());

  ASSERT_FALSE(messages.empty());
  EXPECT_EQ(messages.front().job().classes_size(), 2);
  for (size_t i = 0; i + 1 < messages.size(); ++i) {
    EXPECT_FALSE(messages[i].last());
  }
  EXPECT_TRUE(messages.back().last());
  const v1::Job& job = messages.back().job();
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.vocabulary(), "shop");
  EXPECT_EQ(job.version(), 2);
  EXPECT_EQ(job.fingerprints().generator().size(), 64u);
  ASSERT_EQ(job.classes_size(), 2);
  for (const v1::ClassProgress& progress : job.classes()) {
    EXPECT_EQ(progress.stage(), v1::CLASS_STAGE_DONE);
    EXPECT_EQ(progress.cache_hit(), v1::CACHE_HIT_NONE);
    EXPECT_EQ(progress.fraction_done(), 1.0);
    EXPECT_EQ(progress.num_pictures(), 3);
    EXPECT_EQ(progress.pictures_done(), 3);
  }

  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  EXPECT_EQ(listed.version(), 2);
  EXPECT_EQ(listed.total_size(), 2);
  ASSERT_EQ(listed.classes_size(), 2);
  EXPECT_EQ(listed.classes(0).label(), job.classes(0).label());
  EXPECT_EQ(listed.classes(0).colour(),
            static_cast<int32_t>(LabelColour(listed.classes(0).label())));
  EXPECT_EQ(listed.classes(1).kind(), v1::CLASS_KIND_STUFF);
  EXPECT_EQ(listed.classes(1).prompt(), "blue sky");
  EXPECT_EQ(listed.classes(1).prototype_key().size(), 64u);
}

TEST_F(VocabularyServiceTest, TheServerKnowsStuffThatTheCallerDoesNotName) {
  std::vector<v1::AddClassesResponse> messages;
  v1::AddClassesRequest request =
      AddRequest("shop", {"red boat", "blue sky", "green grass"});
  request.mutable_classes(2)->set_kind(v1::CLASS_KIND_THING);
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  const v1::Job& job = messages.back().job();
  ASSERT_EQ(job.classes_size(), 3);
  EXPECT_EQ(job.classes(0).kind(), v1::CLASS_KIND_THING);
  EXPECT_EQ(job.classes(1).kind(), v1::CLASS_KIND_STUFF);
  EXPECT_EQ(job.classes(2).kind(), v1::CLASS_KIND_THING);
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  ASSERT_EQ(listed.classes_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(listed.classes(i).kind(), job.classes(i).kind());
  }
}

// A kind is part of the vocabulary, not of the prototypes.
TEST_F(VocabularyServiceTest, AnotherKindLinksTheSamePrototypes) {
  server_.Add("shop", {"blue sky"});
  v1::AddClassesRequest request = AddRequest("shop", {"blue sky"});
  request.mutable_classes(0)->set_kind(v1::CLASS_KIND_THING);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  EXPECT_EQ(messages.back().job().classes(0).cache_hit(),
            v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(engine_.num_painted, 1);
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  EXPECT_EQ(listed.version(), 2);
  EXPECT_EQ(listed.classes(0).kind(), v1::CLASS_KIND_THING);
}

TEST_F(VocabularyServiceTest, ProgressIsCoalescedAndNeverFalls) {
  engine_.paint_gate.Close();
  grpc::ClientContext context;
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_steps(1000);
  auto reader = server_.vocabulary->AddClasses(&context, request);
  v1::AddClassesResponse message;
  ASSERT_TRUE(reader->Read(&message));
  engine_.paint_gate.Open();
  int count = 0;
  double fraction = 0;
  while (reader->Read(&message)) {
    ++count;
    if (message.job().classes().empty()) {
      continue;  // The job's own state changed.
    }
    EXPECT_GE(message.job().classes(0).fraction_done(), fraction);
    fraction = message.job().classes(0).fraction_done();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(fraction, 1.0);
  // A thousand steps, a handful of messages.
  EXPECT_LE(count, 50);
}

TEST_F(VocabularyServiceTest, StoredPrototypesAreLinkedNotBuilt) {
  server_.Add("shop", {"red boat", "blue car"});
  EXPECT_EQ(engine_.num_painted, 2);
  // Another team, other spelling: the same content.
  const v1::Job job =
      server_.Add("yard", {"Red  Boat", "blue car", "green bus"});
  EXPECT_EQ(engine_.num_painted, 3);
  EXPECT_EQ(job.classes(0).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(job.classes(1).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(job.classes(2).cache_hit(), v1::CACHE_HIT_NONE);
  // Both links in one version, the built class in another.
  EXPECT_EQ(job.version(), 2);
}

TEST_F(VocabularyServiceTest, StoredPicturesAreEncodedNotPainted) {
  server_.Add("shop", {"red boat"});
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_parts(7);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  EXPECT_EQ(messages.back().job().classes(0).cache_hit(),
            v1::CACHE_HIT_PICTURES);
  EXPECT_EQ(engine_.num_painted, 1);
  EXPECT_EQ(engine_.num_encoded, 2);
}

TEST_F(VocabularyServiceTest, OneBadClassFailsAlone) {
  const v1::Job job = server_.Add(
      "shop", {"red boat", "unpaintable thing", "invisible man", "blue car"});
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.classes(0).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_EQ(job.classes(3).stage(), v1::CLASS_STAGE_DONE);

  const v1::ClassProgress& unpaintable = job.classes(1);
  EXPECT_EQ(unpaintable.stage(), v1::CLASS_STAGE_FAILED);
  EXPECT_EQ(unpaintable.error().code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(unpaintable.error().message(), HasSubstr("unpaintable thing"));
  // Paths of this machine stay in its log.
  EXPECT_THAT(unpaintable.error().message(),
              ::testing::Not(HasSubstr("/srv/models")));
  EXPECT_TRUE(
      FindDetail<google::rpc::ErrorInfo>(unpaintable.error()).has_value());

  const v1::ClassProgress& invisible = job.classes(2);
  EXPECT_EQ(invisible.error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(invisible.error())->reason(),
            "NO_FOREGROUND");
  EXPECT_THAT(Names("shop"), ElementsAre("red boat", "blue car"));
}

TEST_F(VocabularyServiceTest, RefusesBadNames) {
  ExpectRefused(AddRequest("shop", {}), "classes");
  ExpectRefused(AddRequest("shop", {""}), "classes[0].name");
  ExpectRefused(AddRequest("shop", {"a", " \t "}), "classes[1].name");
  EXPECT_THAT(ExpectRefused(AddRequest("shop", {std::string(10000, 'x')}),
                            "classes[0].name"),
              HasSubstr("10000 characters; at most 200"));
  ExpectRefused(AddRequest("shop", {"red\nboat"}), "classes[0].name");
  ExpectRefused(AddRequest("shop", {std::string("a\0b", 3)}),
                "classes[0].name");
  EXPECT_THAT(ExpectRefused(AddRequest("shop", {"Red boat", "red  BOAT"}),
                            "classes[1].name"),
              HasSubstr("same class as classes[0]"));
  for (const char* name : {"", "Shop", "-shop", "a b", "ü"}) {
    ExpectRefused(AddRequest(name, {"boat"}), "vocabulary");
  }
  ExpectRefused(AddRequest(std::string(65, 'a'), {"boat"}), "vocabulary");
  v1::AddClassesRequest request = AddRequest("shop", {"boat"});
  request.set_request_id("no spaces");
  ExpectRefused(request, "request_id");
  request = AddRequest("shop", {"boat"});
  request.mutable_classes(0)->set_kind(static_cast<v1::ClassKind>(9));
  ExpectRefused(request, "classes[0].kind");
  request = AddRequest("shop", {"boat"});
  request.mutable_options()->set_num_pictures(0);
  ExpectRefused(request, "options.num_pictures");
  request.mutable_options()->set_num_pictures(100000);
  ExpectRefused(request, "options.num_pictures");
  request = AddRequest("shop", {"boat"});
  request.mutable_options()->set_guidance_scale(-1);
  ExpectRefused(request, "options");
  request = AddRequest("shop", {"boat", "long"});
  request.mutable_classes(1)->set_prompt(
      "a b c d e f g h i j k l m n o p q r s t u v w");
  EXPECT_THAT(ExpectRefused(request, "classes[1].prompt"),
              HasSubstr("23 tokens"));
}

TEST_F(VocabularyServiceTest, RefusesANameThatDiffersInCaseOnly) {
  server_.Add("shop", {"red boat"});
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status =
      server_.Add(AddRequest("shop", {"Red Boat"}), &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(status), "DUPLICATE_CLASS");
}

TEST_F(VocabularyServiceTest, ValidateOnlyStartsNothing) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.set_validate_only(true);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_TRUE(messages[0].last());
  EXPECT_EQ(messages[0].job().state(), v1::JOB_STATE_VALIDATED);
  EXPECT_EQ(engine_.num_painted, 0);
  request.mutable_classes(0)->set_name("");
  EXPECT_FALSE(server_.Add(request, &messages).ok());
}

TEST_F(VocabularyServiceTest, AProfileIsAnotherJobWithOtherFingerprints) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.set_validate_only(true);
  std::vector<v1::AddClassesResponse> plain;
  ASSERT_TRUE(server_.Add(request, &plain).ok());
  request.set_profile("quick");
  std::vector<v1::AddClassesResponse> quick;
  ASSERT_TRUE(server_.Add(request, &quick).ok());
  EXPECT_NE(plain[0].job().id(), quick[0].job().id());
  EXPECT_NE(plain[0].job().fingerprints().generator(),
            quick[0].job().fingerprints().generator());
  // What the request says lies over the profile.
  request.mutable_options()->set_num_steps(4);
  std::vector<v1::AddClassesResponse> both;
  ASSERT_TRUE(server_.Add(request, &both).ok());
  EXPECT_EQ(plain[0].job().fingerprints().generator(),
            both[0].job().fingerprints().generator());
  request.set_profile("heavy");
  EXPECT_THAT(ExpectRefused(request, "options"),
              HasSubstr("num_parts is 1000"));
  request.mutable_options()->set_num_parts(5);
  std::vector<v1::AddClassesResponse> lighter;
  EXPECT_TRUE(server_.Add(request, &lighter).ok());
}

}  // namespace
}  // namespace ovdiff::server
